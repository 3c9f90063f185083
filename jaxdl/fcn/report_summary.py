"""What the top of a run's report says: its key numbers, and what to try next."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdl.cli.saved import new_names
from jaxdl.fcn.config import RENAMED
from jaxdl.fcn.report_pictures import STAGES
from jaxdl.report.plots import decimal
from jaxdl.report.reading import part

GAP = 0.15  # of a mean IU between training and test images: more is overfitting


def key_figures(
    stages: Mapping[str, Sequence[dict[str, Any]]],
    record: Mapping[str, Any],
    classes: Sequence[dict[str, Any]],
) -> list[tuple[str, str]]:
    """Mean IU, pixel accuracy and the worst class of the last stage: value, and what it is.

    Args:
        stages: rows of metrics by stage.
        record: run.json.
        classes: name and IU of each, as the report's table has them.
    """
    if not stages:
        return []
    name, rows = list(stages.items())[-1]
    test, images = part(rows[-1], "test"), part(dict(record), "splits").get("test")
    where = f"on {images} test images" if images is not None else "on the test images"
    found = [
        (f"{decimal(test.get(key), 100)} %", f"{what} of {STAGES[name]} {where}")
        for key, what in (("mean_iu", "mean IU"), ("pixel_accuracy", "pixel accuracy"))
        if test.get(key) is not None
    ]
    known = [
        (line["cells"][-1]["iu"], line["name"])
        for line in classes
        if line["cells"][-1]["iu"] is not None
    ]
    if known:
        iu, worst = min(known)
        found.append((f"{decimal(iu, 100)} %", f"IU of the worst class, {worst}"))
    return found


def next_steps(
    run: Path, record: Mapping[str, Any], stages: Mapping[str, Sequence[dict[str, Any]]]
) -> list[tuple[str, str]]:
    """What to try next: why, and the command.

    Args:
        run: the run folder.
        record: run.json.
        stages: rows of metrics by stage.
    """
    if not stages:
        return []
    config, folder = new_names(part(dict(record), "config"), RENAMED), str(run)
    rows = list(stages.values())[-1]
    scores = [part(row, "test").get("mean_iu") for row in rows]
    known = [score for score in scores if score is not None]
    found, epochs = [], config.get("epochs")

    def train(out: str, *more: str) -> str:
        words = ["jaxdl", "fcn", "train", "--config", f"{folder}/run.json", "--out", out]
        return shlex.join([*words, *more])

    if (
        isinstance(epochs, list)
        and len(epochs) == len(stages)
        and all(isinstance(n, int) for n in epochs)
        and len(known) > 1
        and scores[-1] == max(known)
    ):
        longer = map(str, [*epochs[:-1], max(epochs[-1] + 1, epochs[-1] * 3 // 2)])
        out = folder if config.get("schedule") == "constant" else f"{folder}-longer"
        why = "The mean IU still rose in the last epoch. Train longer:"
        found.append((why, train(out, "--epochs", *longer)))
    gap = (part(rows[-1], "train").get("mean_iu") or 0) - ((scores[-1] if scores else None) or 0)
    plain = not config.get("flip") and config.get("scale") in ([1.0, 1.0], [1, 1])
    if gap > GAP and plain:
        why = f"Training images have {100 * gap:.0f} points of mean IU more than test images. Vary:"
        found.append((why, train(f"{folder}-varied", "--flip", "--scale", "0.7", "1.4")))
    if config.get("data") and not config.get("weights") and config.get("width_divisor") == 1:
        why = "The trunk started from random weights. Start from ImageNet's:"
        found.append((why, train(f"{folder}-vgg16", "--weights", "vgg16.safetensors")))
    words = ("predict", folder, "photo.jpg")
    found.append(("Segment photos of your own:", shlex.join(["jaxdl", "fcn", *words])))
    words = ("export", folder, "--format", "page", "--out", "page")
    found.append(("Segment photos in a browser:", shlex.join(["jaxdl", "fcn", *words])))
    return found
