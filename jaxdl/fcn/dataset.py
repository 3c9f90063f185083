"""The FCN experiment's data: found, checked, prepared and split before anything is trained."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.config import Config, given_class_weights
from jaxdl.fcn.data import batches, labels, records, scenes, splits, voc
from jaxdl.fcn.data.detect import open_data_set
from jaxdl.fcn.data.labels import some
from jaxdl.fcn.data.layouts.given import Given
from jaxdl.fcn.data.source import Source
from jaxdl.fcn.losses import median_frequency
from jaxdl.files.text import visible


@runtime_checkable
class Pairs(batches.Examples, Protocol):
    """Decoded images and labels: `jaxdl.fcn.data.records.Prepared`, or arrays."""

    @property
    def pixels(self) -> Int32[np.ndarray, "n 256"]: ...

    @property
    def hashes(self) -> tuple[str, ...]: ...

    def index(self, id: str) -> int:
        """Position of an id."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What the stages train and test on."""

    classes: tuple[str, ...]
    split: splits.Split
    examples: Pairs
    canvases: tuple[batches.Canvas, ...]
    warnings: list[str]
    class_weights: dict[str, float]  # of the training loss; empty: all pixels count alike
    decoded: batches.Decoded = dataclasses.field(default_factory=dict)

    def rows(self, side: str) -> list[int]:
        """Where the ids of ``train`` or ``test`` are in the examples."""
        return [self.examples.index(i) for i in getattr(self.split, side)]


def open_split(cfg: Config, devkit: Source, sbd: voc.Source | None) -> splits.Split:
    """The training and test ids that the config asks for."""
    if cfg.overfit is not None:
        return splits.overfit(splits.Split(devkit.ids("trainval"), ()), cfg.overfit)
    if cfg.train_list and cfg.test_list:
        return splits.Split(splits.read_ids(cfg.train_list), splits.read_ids(cfg.test_list))
    if cfg.split == "seg11valid":
        if sbd is None:
            raise InputError("--split seg11valid trains on SBD: name its folder with --sbd")
        return splits.seg11valid_split(devkit, sbd, cfg.test_list)
    if cfg.train_list or cfg.test_list:
        raise InputError("--train-list and --test-list go together: name both files")
    own = devkit.has_list("train") and devkit.has_list("val")
    if cfg.split == "official" or (cfg.split == "auto" and own):
        return splits.official_split(devkit)
    ids = devkit.ids("trainval")
    if cfg.split == "random-4-to-1" and not cfg.split_by_prefix:
        return splits.split_4_to_1(ids, cfg.seed)
    return splits.random_split(ids, cfg.seed, cfg.test_share, cfg.split_by_prefix)


def open_source(cfg: Config, bar: Bar) -> tuple[Source, splits.Split]:
    """The pictures and labels, and the ids to train and test on."""
    sbd = None if cfg.sbd is None else voc.open_sbd(cfg.sbd, cache_dir=cfg.data_dir)
    if cfg.data is None:
        count, test = cfg.scenes
        folder = cfg.data_dir / f"scenes-{count}-{test}-{cfg.seed}"
        with bar.task("writing scenes") as progress:
            path = scenes.write_scenes(
                folder, train=count, val=test, seed=cfg.seed, progress=progress
            )
        devkit = voc.open_voc(path)
    elif sbd is not None:
        devkit = voc.open_voc(cfg.data, md5=cfg.voc_md5, cache_dir=cfg.data_dir)
    else:
        given = Given(*(getattr(cfg, name) for name in Given._fields))
        found, layout = open_data_set(cfg.data, given, md5=cfg.voc_md5, cache_dir=cfg.data_dir)
        bar.line(f"{cfg.data}: {layout}, {len(found.classes)} classes: {some(found.classes)}")
        return found, splits.check_split(open_split(cfg, found, None))
    source = devkit if sbd is None else voc.merge(devkit, sbd)
    return source, splits.check_split(open_split(cfg, devkit, sbd))


def open_data(cfg: Config, source: Source, split: splits.Split, bar: Bar) -> Data:
    """Everything checked and prepared."""
    classes = tuple(source.classes)
    with bar.task("preparing images") as progress:
        examples = records.prepare(
            source,
            tuple(dict.fromkeys((*split.train, *split.test))),
            cfg.data_dir / "prepared",
            num_classes=len(classes),
            progress=progress,
        )
    return arrange(cfg, classes, split, examples, source.label_name, bar)


def arrange(
    cfg: Config,
    classes: tuple[str, ...],
    split: splits.Split,
    examples: Pairs,
    label_name: Callable[[str], str],
    bar: Bar,
) -> Data:
    """The data that is trained on, with its canvases, its doubts and the weights of its classes.

    Args:
        cfg: the config.
        classes: their names.
        split: ids to train and test on.
        examples: decoded pairs, all of the split's.
        label_name: of an id, for messages.
        bar: is told the weights of the classes.

    Raises:
        InputError: as `data_warnings` and `class_weights`.
    """
    canvases = batches.choose_canvases(examples.sizes, cfg.canvases)
    train, test = ([examples.index(i) for i in side] for side in (split.train, split.test))
    hashes = dict(zip(examples.ids, examples.hashes, strict=True))
    counted = examples.pixels[train], examples.pixels[test]
    warnings = data_warnings(cfg, classes, split, *counted, hashes, label_name)
    weights = class_weights(cfg, classes, counted[0])
    if weights:
        shown = ", ".join(f"{visible(name)} {weight:.3g}" for name, weight in weights.items())
        bar.line(f"class weights of the training loss: {shown}")
    return Data(
        classes=classes,
        split=split,
        examples=examples,
        canvases=canvases,
        warnings=warnings,
        class_weights=weights,
    )


def class_weights(
    cfg: Config, classes: tuple[str, ...], train: Int32[np.ndarray, "n 256"]
) -> dict[str, float]:
    """What a pixel of each class counts for in the training loss; empty: all alike.

    Args:
        cfg: the config.
        classes: their names.
        train: pixels of each value in the training labels.

    Raises:
        InputError: not one weight for each class, or all that is trained on has the weight 0.
    """
    if not cfg.class_weights:
        return {}
    pixels, given = train[:, : len(classes)], given_class_weights(cfg)
    weights = median_frequency(pixels).tolist() if given is None else given
    typed = f"--class-weights {' '.join(cfg.class_weights)}"
    if len(weights) != len(classes):
        raise InputError(f"{typed}: give {len(classes)} numbers, one for each of {some(classes)}")
    if not np.dot(pixels.sum(0, dtype=np.float64), weights):
        raise InputError(f"{typed}: no training pixel has a weight above 0")
    return dict(zip(classes, weights, strict=True))


def data_warnings(
    cfg: Config,
    classes: Sequence[str],
    split: splits.Split,
    train: Int32[np.ndarray, "n 256"],
    test: Int32[np.ndarray, "m 256"],
    hashes: Mapping[str, str],
    label_name: Callable[[str], str],
) -> list[str]:
    """What makes the results of this data doubtful, a line for each.

    Args:
        cfg: the config.
        classes: their names.
        split: its ids.
        train: pixels of each value in the training labels.
        test: the same of the test labels.
        hashes: sha256 of each id's image.
        label_name: of an id, for messages.

    Raises:
        InputError: as `labels.check_labels`.
    """
    warnings = labels.check_labels(classes, train, test, lambda n: label_name(split.train[n]))
    if cfg.overfit:
        return [
            *warnings,
            f"--overfit {cfg.overfit}: tested on what was trained on; the scores say nothing of "
            "other images",
        ]
    if same := splits.equal_content(split, hashes):
        first, second = same[0]
        more = f" ({len(same)} such pairs)" if len(same) > 1 else ""
        warnings.append(
            f"the training image {visible(first)} and the test image {visible(second)} are the "
            f"same file{more}: the test says less than it seems"
        )
    return warnings
