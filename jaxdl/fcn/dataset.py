"""The FCN experiment's data: found, checked, prepared and split before anything is trained."""

import dataclasses

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.config import Config
from jaxdl.fcn.data import batches, labels, records, scenes, splits, voc


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What the stages train and test on."""

    classes: tuple[str, ...]
    split: splits.Split
    examples: records.Prepared
    canvases: tuple[batches.Canvas, ...]
    warnings: list[str]
    decoded: batches.Decoded = dataclasses.field(default_factory=dict)

    def rows(self, side: str) -> list[int]:
        """Where the ids of ``train`` or ``test`` are in the examples."""
        return [self.examples.index(i) for i in getattr(self.split, side)]


def open_split(cfg: Config, devkit: voc.Source, sbd: voc.Source | None) -> splits.Split:
    """The training and test ids that the config asks for."""
    if cfg.train_list and cfg.test_list:
        return splits.Split(splits.read_ids(cfg.train_list), splits.read_ids(cfg.test_list))
    if cfg.split == "seg11valid":
        if sbd is None:
            raise InputError("--split seg11valid trains on SBD: name its folder with --sbd")
        return splits.seg11valid_split(devkit, sbd, cfg.test_list)
    if cfg.train_list or cfg.test_list:
        raise InputError("--train-list and --test-list go together: name both files")
    if cfg.split == "official":
        return splits.official_split(devkit)
    return splits.split_4_to_1(devkit.ids("trainval"), cfg.seed)


def open_source(cfg: Config, bar: Bar) -> tuple[voc.Source, splits.Split]:
    """The pictures and labels, and the ids to train and test on."""
    if cfg.data is None:
        count, test = cfg.scenes
        folder = cfg.data_dir / f"scenes-{count}-{test}-{cfg.seed}"
        with bar.task("writing scenes") as progress:
            path = scenes.write_scenes(
                folder, train=count, val=test, seed=cfg.seed, progress=progress
            )
        devkit = voc.open_voc(path)
    else:
        devkit = voc.open_voc(cfg.data, md5=cfg.voc_md5, cache_dir=cfg.data_dir)
    sbd = None if cfg.sbd is None else voc.open_sbd(cfg.sbd, cache_dir=cfg.data_dir)
    source = devkit if sbd is None else voc.merge(devkit, sbd)
    return source, splits.check_split(open_split(cfg, devkit, sbd))


def open_data(cfg: Config, source: voc.Source, split: splits.Split, bar: Bar) -> Data:
    """Everything checked and prepared."""
    classes = tuple(source.classes)
    with bar.task("preparing images") as progress:
        examples = records.prepare(
            source,
            (*split.train, *split.test),
            cfg.data_dir / "prepared",
            num_classes=len(classes),
            progress=progress,
        )
    canvases = batches.choose_canvases(examples.sizes, cfg.canvases)
    train, test = ([examples.index(i) for i in side] for side in (split.train, split.test))
    warnings = labels.check_labels(
        classes,
        examples.pixels[train],
        examples.pixels[test],
        lambda n: source.label_name(split.train[n]),
    )
    return Data(
        classes=classes, split=split, examples=examples, canvases=canvases, warnings=warnings
    )
