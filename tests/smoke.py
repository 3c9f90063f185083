"""`make smoke`: the wheel alone, in a clean environment elsewhere; then the benchmarks, small.

The wheel is built, installed and used in a temporary folder: its commands train, predict and answer
there, without the checkout. The benchmarks and a notebook run from the checkout at the same time.
Each part prints its seconds; the first that fails is shown with its command and its output, and the
status is 1.
"""

import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 600.0  # seconds of a part: it hangs
FAST = "--xla_backend_optimization_level=0"  # of LLVM: most of a tiny run is compilation
PIP = ("-m", "pip", "--disable-pip-version-check")
NOTEBOOK = "experiments/notebooks/text.ipynb"
# What the wheel is made of.
SOURCES = ("jaxdl", "pyproject.toml", "README.md", "LICENSE")
WHERE = """
import pathlib, sys, jaxdl
home = pathlib.Path(jaxdl.__file__).parent
assert home.is_relative_to(sys.prefix), f"{home} is not in {sys.prefix}"
assert (home / "py.typed").is_file() and jaxdl.__version__
"""


class Failed(Exception):
    """A part, its command and its output."""


class Lane:
    """Parts, one after another, that share a folder and an environment."""

    failed = threading.Event()

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder, self.environ = folder, environ

    def run(self, name: str, command: Sequence[str | Path], made: str = "") -> str:
        """Its output; `made` is a file that it must leave in the folder.

        Raises:
            Failed: also if a part of another lane has failed.
        """
        begin, words = time.monotonic(), [str(word) for word in command]
        with subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            timer = threading.Timer(LIMIT, process.kill)
            timer.start()
            output, _ = process.communicate()
            timer.cancel()
        if self.failed.is_set():
            raise Failed
        lost = made and not (self.folder / made).is_file()
        if process.returncode or lost:
            self.failed.set()
            why = f"status {process.returncode}" if process.returncode else f"wrote no {made}"
            raise Failed(f"{name}: {why}\n$ {shlex.join(words)}\n{output}")
        print(f"{time.monotonic() - begin:6.1f} s  {name}", flush=True)
        return output


def write_inputs(folder: Path) -> None:
    """A photo, a text and a series."""
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(folder / "photo.jpg")
    draw, words = random.Random(0), ["the", "king", "queen", "rules", "land", "sea", "and"]
    lines = (" ".join(draw.choices(words, k=8)) for _ in range(200))
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    rows = "".join(f"{n % 12 + n % 5 / 10}\n" for n in range(300))
    (folder / "series.csv").write_text("level\n" + rows)


def environment(folder: Path) -> dict[str, str]:
    """On the CPU; programs are kept in the folder alone."""
    kept = {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
    return {**os.environ, **kept, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": FAST}


def use_wheel(folder: Path) -> None:
    """Build it, install it, and all that a user does first."""
    source, env = folder / "source", folder / "env"
    source.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    # Neither the checkout nor the user's programs and settings are used.
    lost = ("PYTHONPATH", "VIRTUAL_ENV")
    lane = Lane(folder, {k: v for k, v in environment(folder).items() if k not in lost})
    build = [sys.executable, *PIP, "wheel", "-q", "--no-deps", "-w", folder, source]
    lane.run("build the wheel", build)
    shutil.rmtree(source)
    (wheel,) = folder.glob("*.whl")
    lane.run("make an environment", [sys.executable, "-m", "venv", env])
    install = [env / "bin/python", *PIP, "install", "-q", "--no-compile"]
    lane.run("install the wheel", [*install, "-c", ROOT / "constraints.txt", wheel])
    lane.run("import it", [env / "bin/python", "-c", WHERE])
    write_inputs(folder)

    def jaxdl(line: str, made: str = "") -> str:
        return lane.run(f"jaxdl {line}", [env / "bin/jaxdl", *shlex.split(line)], made)

    jaxdl("--version")
    jaxdl("--help")
    demo = "--preset demo --scenes 4 2 --samples 1 --width-divisor 32 "
    demo += "--stages 32 16 --epochs 1 --learning-rate 0.05 --canvases 1"
    jaxdl(f"fcn train {demo} --out runs/fcn", "runs/fcn/report.html")
    jaxdl("fcn predict runs/fcn photo.jpg --out classes", "classes/photo_classes.png")
    jaxdl(
        "word2vec train --data text.txt --dim 8 --epochs 1 --min-count 1 --out runs/words",
        "runs/words/vectors.bin",
    )
    jaxdl("word2vec query runs/words king - the + sea")
    jaxdl(
        "lstm train --data series.csv --hidden 2 --seeds 1 --steps 20 --log-every 10 --period 12 "
        "--out runs/series",
        "runs/series/report.html",
    )
    jaxdl("lstm predict runs/series series.csv --horizon 5 --out next.csv", "next.csv")
    jaxdl("doctor")


def marked_tests(file: str, folder: Path) -> None:
    """The tests of a file that are marked `smoke`."""
    words = ["pytest", file, "-m", "smoke", "-q", "-n", "0"]
    Lane(ROOT, environment(folder)).run(f"{file} -m smoke", [sys.executable, "-m", *words])


def benchmarks(folder: Path) -> None:
    """The benchmarks' small forms, from the checkout."""
    (folder / "text").mkdir()
    write_inputs(folder / "text")
    lane = Lane(ROOT, environment(folder))
    python = [sys.executable, "-m"]
    words = ["--quick", "--tools", "ours", "--corpus", str(folder / "text/text.txt")]
    words += ["--out", str(folder / "words")]
    lane.run("benchmarks.word2vec --quick --tools ours", [*python, "benchmarks.word2vec", *words])
    mine = folder / "loader" / "mine.txt"  # what the benchmark did not make stays
    mine.parent.mkdir()
    mine.write_text("mine")
    loader = ["--quick", "--images", "1", "--width", "32", "--out", str(mine.parent)]
    lane.run("benchmarks.fcn.loader --quick", [*python, "benchmarks.fcn.loader", *loader])
    if [path.name for path in mine.parent.iterdir()] != ["mine.txt"]:
        raise RuntimeError(f"{mine.parent}: the loader's benchmark left or deleted files")
    rows = folder / "layers.json"
    layers = [*python, "benchmarks.fcn.layers", "--quick", "--width", "32", "--json", str(rows)]
    lane.run("benchmarks.fcn.layers --quick", layers, str(rows))


def notebook(folder: Path) -> None:
    """The cheapest of the notebooks, from the checkout."""
    words = ["nbconvert", "--to", "notebook", "--execute", "--output-dir", str(folder), NOTEBOOK]
    Lane(ROOT, environment(folder)).run(NOTEBOOK, [sys.executable, "-m", *words])


def main() -> int:
    """Two at a time, each on about one core; the longest first."""
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="jaxdl-smoke-") as name,
        ThreadPoolExecutor(2) as pool,
    ):
        calls = (
            partial(marked_tests, "tests/test_gpu_benchmark.py"),
            use_wheel,
            partial(marked_tests, "tests/benchmarks"),
            benchmarks,
            notebook,
        )
        folders = [Path(name) / str(number) for number in range(len(calls))]
        for folder in folders:
            folder.mkdir()
        started = [pool.submit(*pair) for pair in zip(calls, folders, strict=True)]
        for done in started:
            error = done.exception()
            if isinstance(error, Failed) and str(error):
                print(f"FAILED  {error}", file=sys.stderr)
            elif error is not None and not isinstance(error, Failed):
                raise error
    print(f"{time.monotonic() - begin:6.1f} s  in all")
    return int(Lane.failed.is_set())


if __name__ == "__main__":
    sys.exit(main())
