"""How fast images come, and how long training waits for them; `python -m benchmarks.fcn.loader`."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from benchmarks.fcn.jax_runner import training
from benchmarks.fcn.workload import CANVASES, CLASSES, draw, stream_sizes
from jaxdl.cli import command
from jaxdl.devices import cpu_memory
from jaxdl.fcn.choices import Cache
from jaxdl.fcn.data import batches, records, voc
from jaxdl.fcn.models.fcn import FCN
from jaxdl.files.results import Results


def write_tree(root: Path, count: int) -> Path:
    """Scenes of VOC's sizes as a VOCdevkit of JPEG and palette PNG files."""
    year = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (year / folder).mkdir(parents=True)
    drawn = draw(stream_sizes(count))
    for picture in drawn.pictures:
        Image.fromarray(picture.image).save(year / f"JPEGImages/{picture.id}.jpg", quality=90)
        label = Image.fromarray(picture.label)
        label.putpalette(voc.palette().ravel().tolist())
        label.save(year / f"SegmentationClass/{picture.id}.png")
    (year / "ImageSets/Segmentation/trainval.txt").write_text("\n".join(drawn.ids) + "\n")
    return root / "VOCdevkit"


def rate(source: batches.BatchSource, images: int) -> float:
    """Images a second of an epoch, all their bytes looked at on the device."""
    touch = jax.jit(lambda batch: sum(array.sum() for array in batches.gather(batch)))
    for n in range(len(source)):  # compiles, and fills a cache
        jax.block_until_ready(touch(source[n]))
    begin = time.perf_counter()
    jax.block_until_ready([touch(batch) for batch in batches.read_ahead(source)])
    return images / (time.perf_counter() - begin)


def waiting(call: Callable[[Any], Any], read: Iterator[Any], warm: int) -> tuple[float, float]:
    """Seconds in which the loop asked for a batch, and all; as `loop.fit` does, one loss late."""
    asked, begin, last = 0.0, time.perf_counter(), None
    for n in range(1 << 30):
        if n == warm:
            asked, begin = 0.0, time.perf_counter()
        start = time.perf_counter()
        batch = next(read, None)
        if batch is None:
            break
        asked += time.perf_counter() - start
        loss = call(batch)
        if last is not None:
            float(last)
        last = loss
    float(last)  # type: ignore[arg-type]
    return asked, time.perf_counter() - begin


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=40, help="images of VOC's sizes")
    parser.add_argument("--batch", type=int, default=4, help="images in a batch")
    parser.add_argument("--width", type=int, default=1, help="divides the network's channels")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/bench-fcn/loader"),
        help="the images lie in a new folder here, which is removed at the end",
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    results = Results("benchmarks.fcn.loader")
    if args.json is not None:
        results.check(args.json)
    cpu_memory.start()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="loader-", dir=args.out) as folder:
        found = measure(Path(folder), args.images, args.batch, args.width)
    print(json.dumps(found, indent=1))
    if args.json is not None:
        results.write_json(args.json, found)


def measure(folder: Path, images: int, batch: int, width: int) -> dict[str, float]:
    """Images a second, and the share of training spent waiting, of each way to keep images.

    Args:
        folder: empty; images and prepared records are written into it.
        images: how many.
        batch: images in a batch.
        width: divides the network's channels.
    """
    source = voc.open_voc(write_tree(folder, images))
    ids = source.ids("trainval")
    data = records.prepare(source, ids, folder / "prepared", num_classes=CLASSES)
    canvases = batches.choose_canvases(data.sizes, CANVASES)
    every, found = range(len(ids)), {}

    def make(cache: Cache, epochs: int = 1) -> batches.BatchSource:
        return batches.BatchSource(data, every, canvases, batch, seed=0, epochs=epochs, cache=cache)

    names: dict[str, Cache] = {
        "decoded": "none",
        "host memory": "host",
        "on the device": "device",
    }
    for name, cache in names.items():
        found[f"{name}, images/s"] = rate(make(cache), len(ids))
    model: Any = FCN(32, CLASSES, width)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    for name, cache in names.items():
        call, _ = training(model, jax.tree.map(np.asarray, params))
        loop = make(cache, epochs=2)
        for canvas in range(len(canvases)):  # compiled before the loop
            n = next((n for n in range(len(loop)) if loop.canvas(n) == canvases[canvas]), None)
            if n is not None:
                jax.block_until_ready(call(loop[n]))
        asked, seconds = waiting(call, batches.read_ahead(loop), loop.per_epoch)
        found[f"{name}, share of training spent waiting"] = asked / seconds
    return found


if __name__ == "__main__":
    command.main(main)
