"""Which ids to train on and which to test on: VOC's own lists, the FCN papers' split, 4 to 1."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdl.errors import InputError
from jaxdl.fcn.data.voc import LONGEST_LIST, Source, parse_ids
from jaxdl.files.limits import read_bytes


@dataclass(frozen=True, slots=True)
class Split:
    """Ids to train on and ids to test on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def check_split(split: Split) -> Split:
    """The split itself; InputError if a side is empty or repeats an id, or the sides overlap."""
    for side, ids in (("train", split.train), ("test", split.test)):
        if not ids:
            raise InputError(f"the {side} side of the split is empty; give it at least one id")
        if len(set(ids)) != len(ids):
            twice = next(id for n, id in enumerate(ids) if id in ids[:n])
            raise InputError(f"the {side} side of the split repeats {twice!r}; list it once")
    both = sorted(set(split.train) & set(split.test))
    if both:
        raise InputError(
            f"{len(both)} ids are in train and in test ({', '.join(both[:3])}); remove them from "
            "train, or the test scores mean nothing"
        )
    return split


def split_4_to_1(ids: Iterable[str], seed: int) -> Split:
    """Four fifths (rounded down) to train on, the rest to test on: 2,913 ids give 2,330 and 583.

    Depends on the set of ids and the seed alone. Source: the 2016 posts (their own draw is lost).
    """
    ordered = sorted(ids)
    order = np.random.default_rng(seed).permutation(len(ordered))
    mixed = tuple(ordered[i] for i in order)
    cut = 4 * len(mixed) // 5
    return check_split(Split(train=mixed[:cut], test=mixed[cut:]))


def official_split(voc: Source) -> Split:
    """VOC's own lists: train (1,464 images in 2012) and val (1,449)."""
    return check_split(Split(train=voc.ids("train"), test=voc.ids("val")))


def seg11valid_split(voc: Source, sbd: Source, test_list: Path | None = None) -> Split:
    """The FCN papers' split: SBD train (8,498) without the test ids, and the 736 of seg11valid."""
    if test_list is None and not voc.has_list("seg11valid"):
        raise InputError(
            f"{voc.list_name('seg11valid')}: no such list; it is the 736 ids of VOC2011 val that "
            "are not in SBD train, published with the FCN paper's code: pass the path of that file"
        )
    test = voc.ids("seg11valid") if test_list is None else read_ids(test_list)
    held_out = set(test)
    return check_split(Split(tuple(id for id in sbd.ids("train") if id not in held_out), test))


def read_ids(path: Path) -> tuple[str, ...]:
    """A list file: one id a line; blank lines and lines that start with # are skipped."""
    if not path.is_file():
        raise InputError(f"{path}: no such list file; write one id a line into it")
    return parse_ids(read_bytes(path, LONGEST_LIST), str(path))
