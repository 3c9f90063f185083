"""Ours beside gensim's: questions about gensim's own files of vectors, phrases, and a notebook.

    make same-as-gensim

Words, ranks and errors of a lookup must be equal, numbers to 1e-6; it ends with status 1 if not.
gensim also reads the files that the notebook wrote with us.
"""

import contextlib
import io
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import shape
from benchmarks.word2vec.questions import PHRASES, TEXT, answers
from jaxdl.cli.command import main
from jaxdl.errors import InputError, TrainingError
from jaxdl.word2vec.data.corpus import encode
from jaxdl.word2vec.data.phrases import Rules
from jaxdl.word2vec.keyed_vectors import KeyedVectors

NEAR = 1e-6  # of 1, or of a larger number
HERE = Path(__file__).parent
THEIR_IMPORT = "from gensim.models import"
LOADED = """
import json
from gensim.models import KeyedVectors
found = [KeyedVectors.load_word2vec_format("vectors.bin", binary=True)]
found.append(KeyedVectors.load_word2vec_format("vectors.txt"))
print(json.dumps([{"words": kv.index_to_key, "vectors": kv.vectors.tolist()} for kv in found]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """Ours beside gensim's: files of vectors, phrases, a notebook."""

    quick: bool = False
    """Without the notebook and its files."""
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
    config = shape.settled(config)
    gensim = shape.peer(config.gensim_python, "gensim", "same-as-gensim").version
    bench = shape.begin(config, "benchmarks.word2vec.same_as_gensim", versions={"gensim": gensim})
    found = json.loads(asked(config, str(HERE / "questions.py")))
    far, folder = [], Path(found["folder"])
    ours = answers(KeyedVectors, folder) | {"phrases": phrases(folder / TEXT)}
    theirs = found["answers"] | {"phrases": found["phrases"]}
    if not config.quick:
        own, other = notebooks(config)
        ours, theirs = ours | own, theirs | other
    for name, each in theirs.items():
        apart = list(differences(ours[name], each, name))
        far += [at for at, distance in apart if not distance <= NEAR]
        most = max(distance for _, distance in apart)
        bench.console.print(f"{name}: {len(apart)} answers, at most {most:.1e} apart")
        row = {"about": name, "answers": len(apart), "gensim": gensim}
        bench.add(row | {"apart": most if most < float("inf") else None})  # JSON has no infinity
    if far:
        raise TrainingError(f"{len(far)} answers are not gensim's: {', '.join(far[:5])}")


def notebooks(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a notebook prints with our import line, and what gensim reads in its files; theirs."""
    with tempfile.TemporaryDirectory() as place:
        theirs, own = Path(place, "gensim"), Path(place, "ours")
        for each in (theirs, own):
            each.mkdir()
        notebook = json.loads(asked(config, str(HERE / "notebook.py"), cwd=theirs))
        ours = {"a notebook": notebook_of_ours(own)}
        files = json.loads(asked(config, "-c", LOADED, cwd=own))
        ours |= {"files of ours": [vectors(own / name) for name in ("vectors.bin", "vectors.txt")]}
    return ours, {"a notebook": notebook, "files of ours": files}


def asked(config: Config, *words: str, cwd: Path | None = None) -> str:
    """What a Python with gensim prints."""
    try:
        command = [str(config.gensim_python.absolute()), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=cwd, timeout=300
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:  # a worker of gensim's that fails waits
        text = f"{config.gensim_python}: gensim gave no answers ({getattr(error, 'stderr', error)})"
        raise InputError(f"{' '.join(text.split())[-300:]}; run make same-as-gensim") from error


def notebook_of_ours(folder: Path) -> dict[str, Any]:
    """What the notebook prints with our import line, run in a folder of its own."""
    text = (HERE / "notebook.py").read_text()
    assert text.count(THEIR_IMPORT) == 1
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(text.replace(THEIR_IMPORT, "from jaxdl import"), {})
    return json.loads(printed.getvalue())


def vectors(path: Path) -> dict[str, Any]:
    """Words and vectors of a file, as LOADED gives them."""
    kv = KeyedVectors.load(path)
    return {"words": kv.index_to_key, "vectors": kv.vectors.tolist()}


def phrases(path: Path) -> list[list[Any]]:
    """The answers of `questions.phrases` about the lines of a text, by the encoder."""
    found = []
    with tempfile.TemporaryDirectory() as place:
        for least, threshold in PHRASES:
            for passes in (1, 2, 3):
                rules = Rules(passes, least, threshold)
                corpus = encode([path], Path(place), tokens="split", min_count=1, phrases=rules)
                starts = corpus.sentences.tolist()
                words = [
                    [corpus.words[row] for row in corpus.ids[start:end].tolist()]
                    for start, end in pairwise(starts)
                ]
                lines = (corpus.folder / "phrases.tsv").read_text(encoding="utf-8").splitlines()
                rows = [line.split("\t") for line in lines]
                scores = {text: float(score) for n, text, _, score in rows if int(n) == passes}
                found.append([words, scores])
    return found


if __name__ == "__main__":
    name = "benchmarks.word2vec.same_as_gensim"
    main(lambda: run(shape.options(Config, name, f"python -m {name} --json rows.json  # a file")))
