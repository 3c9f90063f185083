"""The FCN experiment's pictures of a few test images, for the report and the README."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from jaxdl.fcn import evaluate
from jaxdl.fcn.data import voc
from jaxdl.fcn.data.decode import VOID
from jaxdl.fcn.dataset import Data
from jaxdl.files.atomic import read_json, write_bytes, write_json
from jaxdl.report.pictures import overlay

MOST = 500  # test images of a confusion matrix: a second look at them takes time


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _indexed(classes: np.ndarray) -> bytes:
    """A palette PNG of classes (uint8; 255 is void)."""
    image = Image.fromarray(classes)
    image.putpalette(voc.palette().ravel().tolist())
    return _encoded(image, "PNG")


def _accuracy(predicted: np.ndarray, label: np.ndarray) -> float:
    """One image's share of right pixels, void left out; 0 of none. The 2016 posts print it."""
    valid = label != VOID
    return int((predicted == label)[valid].sum()) / max(1, int(valid.sum()))


def draw_samples(
    shared: Path,
    folder: Path,
    data: Data,
    count: int,
    predict: Callable[[np.ndarray], np.ndarray],
    show: Callable[[str, np.ndarray], None],
) -> None:
    """Predictions of `count` test images, spread over the test split.

    Args:
        shared: gets the photos and the true labels, the same for all stages.
        folder: gets this stage's predictions and the accuracy of each.
        data: the test images.
        count: how many, at most.
        predict: image (h, w, 3) to classes (h, w).
        show: called with each image's id and overlay (for TensorBoard).
    """
    rows = data.rows("test")
    chosen = sorted({rows[i] for i in np.linspace(0, len(rows) - 1, count).astype(int)})
    accuracy, listed = {}, []
    for row in chosen:
        example = data.examples[row]
        name, classes = example.id, predict(example.image)
        accuracy[name] = _accuracy(classes, example.label)
        listed.append({"id": name, "height": len(classes), "width": classes.shape[1]})
        photo = _encoded(Image.fromarray(example.image), "JPEG", quality=92)
        write_bytes(shared / f"{name}.jpg", photo)
        write_bytes(shared / f"{name}_truth.png", _indexed(example.label))
        write_bytes(folder / f"{name}.png", _indexed(classes))
        show(name, overlay(example.image, classes, voc.palette()))
    write_json(folder / "accuracy.json", accuracy)
    write_json(shared / "samples.json", listed)


def draw_worst(
    folder: Path,
    data: Data,
    predict: Callable[[np.ndarray], np.ndarray],
    say: Callable[[int, int], None],
) -> None:
    """A stage's confusion matrix on the test images, and those of the lowest mean IU.

    Writes ``confusion.json`` and ``worst/``: worst.json, and photo, label, prediction of each.

    Args:
        folder: of the stage.
        data: the test images. Of more than `MOST` so many are taken, spread over the split.
        predict: image (h, w, 3) to classes (h, w).
        say: gets the images done and all.
    """
    rows, classes = data.rows("test"), len(data.classes)
    chosen = sorted({rows[i] for i in np.linspace(0, len(rows) - 1, MOST).astype(int)})

    def looked() -> Iterator[evaluate.Image]:
        for row in chosen:
            example = data.examples[row]
            found, label = predict(example.image), example.label
            valid = label != VOID
            cells = label[valid].astype(np.int64) * classes + found[valid]
            matrix = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
            yield evaluate.Image(example.id, "", example.image, label, found, matrix, 0.0)

    totals = evaluate.add_up(looked(), classes, lambda done: say(done, len(chosen)))
    listed = []
    for each in totals.worst:
        listed.append({"id": each.id, "mean_iu": each.metrics["mean_iu"]})
        photo = _encoded(Image.fromarray(each.image), "JPEG", quality=92)
        write_bytes(folder / "worst" / f"{each.id}.jpg", photo)
        write_bytes(folder / "worst" / f"{each.id}_truth.png", _indexed(each.label))
        write_bytes(folder / "worst" / f"{each.id}.png", _indexed(each.predicted))
    write_json(folder / "worst" / "worst.json", listed)
    counts = {"images": len(chosen), "of": len(rows), "matrix": totals.confusion.tolist()}
    write_json(folder / "confusion.json", counts)


def draw_overview(run: Path, stages: Sequence[str], count: int = 4, side: int = 144) -> None:
    """``overview.png`` of a run: a row for each sample; photo, the stages' overlays, the truth."""
    names = [s["id"] for s in read_json(run / "samples" / "samples.json")][:count]
    sheet = Image.new(
        "RGB", ((2 + len(stages)) * (side + 4) - 4, len(names) * (side + 4) - 4), "white"
    )
    for row, name in enumerate(names):
        with Image.open(run / "samples" / f"{name}.jpg") as file:
            photo = np.asarray(file.convert("RGB"))
        labels = [*(run / s / "samples" / f"{name}.png" for s in stages)]
        cells = [photo]
        for path in [*labels, run / "samples" / f"{name}_truth.png"]:
            with Image.open(path) as file:
                cells.append(overlay(photo, np.asarray(file), voc.palette()))
        for column, cell in enumerate(cells):
            picture = ImageOps.contain(Image.fromarray(cell), (side, side))
            place = [
                at * (side + 4) + (side - of) // 2
                for at, of in zip((column, row), picture.size, strict=True)
            ]
            sheet.paste(picture, (place[0], place[1]))
    write_bytes(run / "overview.png", _encoded(sheet, "PNG"))
