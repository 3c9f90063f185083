"""Our `KeyedVectors` beside gensim's: the same questions about gensim's own files of vectors.

    make same-as-gensim

Words, ranks and errors of a lookup must be equal, numbers to 1e-6; it ends with status 1 if not.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.word2vec.questions import answers
from jaxdl.cli.command import main
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError, TrainingError
from jaxdl.word2vec.keyed_vectors import KeyedVectors

NEAR = 1e-6  # of 1, or of a larger number


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Our `KeyedVectors` beside gensim's, on gensim's own files."""

    gensim_python: Path = Path(".venv-gensim/bin/python")
    """A Python that has gensim; `make same-as-gensim` makes it."""


def differences(ours: Any, theirs: Any, at: str = "") -> Iterator[tuple[str, float]]:
    """Each number and text of two answers: where it is, and how far apart (inf: not the same)."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        for key, value in ours.items():
            yield from differences(value, theirs[key], f"{at}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for n, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{at}/{n}")
    elif isinstance(ours, float) and isinstance(theirs, float):
        yield at, abs(ours - theirs) / max(1, abs(theirs))  # NaN is never near
    else:
        yield at, 0.0 if ours == theirs else float("inf")


def run(config: Config) -> None:
    """Print how far each file's answers are apart; TrainingError if that is too far."""
    script = Path(__file__).with_name("questions.py")
    try:
        command = [config.gensim_python.absolute(), script]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        text = f"{config.gensim_python}: gensim gave no answers ({getattr(error, 'stderr', error)})"
        raise InputError(f"{' '.join(text.split())[-300:]}; run make same-as-gensim") from error
    found = json.loads(done.stdout)
    bar, far = Bar(), []
    ours = answers(KeyedVectors, Path(found["folder"]))
    for name, theirs in found["answers"].items():
        apart = list(differences(ours[name], theirs, name))
        far += [at for at, distance in apart if not distance <= NEAR]
        bar.line(f"{name}: {len(apart)} answers, at most {max(d for _, d in apart):.1e} apart")
    if far:
        raise TrainingError(f"{len(far)} answers are not gensim's: {', '.join(far[:5])}")


if __name__ == "__main__":
    main(lambda: run(tyro.cli(Config, prog="python -m benchmarks.word2vec.same_as_gensim")))
