"""How fast images come, and how long training waits for them; `python -m benchmarks.fcn.loader`."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
from PIL import Image
from rich.table import Table

from benchmarks import shape
from benchmarks.fcn.jax_runner import random_params, training
from benchmarks.fcn.workload import CANVASES, CLASSES, draw, stream_sizes
from benchmarks.process import forget_peak, own_peak_mb
from jaxdl.cli.command import main
from jaxdl.cli.options import Range
from jaxdl.devices import cpu_memory
from jaxdl.errors import writing
from jaxdl.fcn.choices import Cache
from jaxdl.fcn.data import batches, records, voc
from jaxdl.fcn.models.fcn import FCN

FEW = 20  # images: of fewer, a second is too short to measure a rate in
CACHES: dict[Cache, str] = {"none": "decoded", "host": "host memory", "device": "on the device"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """How fast images come from each cache, and how long training waits for them."""

    images: Annotated[int, Range(1)] = 40
    """Images of VOC's sizes."""
    batch: Annotated[int, Range(1)] = 4
    """Images in a batch."""
    width: Annotated[int, shape.WIDTH] = 1
    """Divides the network's channels; 1 is VGG-16."""
    out: Path = Path("runs/bench-fcn/loader")
    """The images lie in a new folder here, which is removed at the end."""


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


def waiting(call: Callable[[Any], Any], read: Iterator[Any], warm: int) -> dict[str, float]:
    """Seconds, and the share in which the loop asked for a batch; one loss late, as `loop.fit`.

    The first `warm` batches do not count.
    """
    asked, begin, cpu, last = 0.0, time.perf_counter(), time.process_time(), None
    for n in range(1 << 30):
        if n == warm:
            asked, begin, cpu = 0.0, time.perf_counter(), time.process_time()
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
    seconds, used = time.perf_counter() - begin, time.process_time() - cpu
    return {"seconds": seconds, "cpu_s": used, "waiting_share": asked / seconds}


def measure(folder: Path, images: int, batch: int, width: int) -> list[dict[str, Any]]:
    """Images a second, and the share of training spent waiting, of each way to keep images.

    Seconds, CPU seconds and the share are of an epoch of training.

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
    every, found = range(len(ids)), []

    def make(cache: Cache, epochs: int = 1) -> batches.BatchSource:
        return batches.BatchSource(data, every, canvases, batch, seed=0, epochs=epochs, cache=cache)

    model: Any = FCN(32, CLASSES, width)
    call, _ = training(model, random_params(model, seed=0))
    for cache, name in CACHES.items():
        forget_peak()
        images_per_s = rate(make(cache), len(ids))
        loop = make(cache, epochs=2)
        for canvas in range(len(canvases)):  # compiled before the loop
            n = next((n for n in range(len(loop)) if loop.canvas(n) == canvases[canvas]), None)
            if n is not None:
                jax.block_until_ready(call(loop[n]))
        row = {"images_from": name, "images_per_s": images_per_s}
        row |= waiting(call, batches.read_ahead(loop), loop.per_epoch)
        found.append(row | {"peak_mb": own_peak_mb(), "version": jax.__version__})
    return found


def run(cfg: Config) -> None:
    """Each way to keep images; prints the table."""
    cfg = shape.settled(cfg, images=2, batch=1, width=16)
    bench = shape.begin(cfg, "benchmarks.fcn.loader")
    if cfg.images < FEW or cfg.width > 1:
        bench.console.print(
            f"{cfg.images} images, 1/{cfg.width} of the channels: too small; below {FEW} images a "
            "rate means nothing, nor does waiting beside a narrow network"
        )
    with writing(cfg.out):
        cfg.out.mkdir(parents=True, exist_ok=True)
    cpu_memory.start()
    with tempfile.TemporaryDirectory(prefix="loader-", dir=cfg.out) as folder:
        rows = measure(Path(folder), cfg.images, cfg.batch, cfg.width)
    bench.add(*rows)
    table = Table(title=f"{cfg.images} images of VOC's sizes, batch {cfg.batch}")
    names = ("images/s", "training, s", "CPU s", "spent waiting", "peak MB")
    for name in ("images", *names):
        table.add_column(name, justify="left" if name == "images" else "right")
    for row in rows:
        cells = [f"{row[name]:.2f}" for name in ("images_per_s", "seconds", "cpu_s")]
        cells += [f"{row['waiting_share']:.1%}", f"{row['peak_mb']:.0f}"]
        table.add_row(row["images_from"], *cells)
    bench.console.print(table)
    bench.end()


if __name__ == "__main__":
    example = "python -m benchmarks.fcn.loader --images 200  # more images"
    main(lambda: run(shape.options(Config, "benchmarks.fcn.loader", example)))
