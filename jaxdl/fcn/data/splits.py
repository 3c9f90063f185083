"""Which ids to train on and which to test on: VOC's own lists, the FCN papers' split, 4 to 1."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdl.errors import InputError
from jaxdl.fcn.data.source import Source
from jaxdl.fcn.data.voc import LONGEST_LIST, parse_ids
from jaxdl.files.limits import read_bytes


@dataclass(frozen=True, slots=True)
class Split:
    """Ids to train on and ids to test on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def check_split(split: Split) -> Split:
    """The split itself; InputError if a side is empty or repeats an id, or the sides overlap.

    A split that `overfit` made tests on what it trains on, and passes.
    """
    if split.train and split.train == split.test:
        return split
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


def random_split(
    ids: Iterable[str], seed: int, test_share: float, by_prefix: bool = False
) -> Split:
    """A share of the ids to test on, at least one, drawn at random; the rest to train on.

    Args:
        ids: depends on their set alone, not on their order.
        seed: of the draw.
        test_share: of the ids, above 0 and below 1.
        by_prefix: frames of one film stay together: ids that differ in their last number alone.

    Raises:
        InputError: there are not two ids, or not two films.
    """
    groups: dict[str, list[str]] = {}
    for id in sorted(ids):
        groups.setdefault(prefix(id) if by_prefix else id, []).append(id)
    if len(groups) < 2:
        what = f"one prefix alone ({next(iter(groups))!r})" if groups and by_prefix else "one image"
        raise InputError(
            f"there is {what if groups else 'no image'}, which cannot be split into training and "
            "test images; add others, or try it with --overfit 1"
        )
    count = sum(map(len, groups.values()))
    names = list(groups)
    test: list[str] = []
    order = np.random.default_rng(seed).permutation(len(names))
    for place in order[:-1]:  # one stays to train on
        if len(test) >= max(1, round(count * test_share)):
            break
        test += groups[names[place]]
    held = set(test)
    train = [id for place in order for id in groups[names[place]] if id not in held]
    return check_split(Split(tuple(train), tuple(test)))


def prefix(id: str) -> str:
    """An id without its last number: ``film_a/0012`` and ``film_a/0013`` are of one film."""
    return re.sub(r"\d+(?=\D*$)", "#", id)


def overfit(split: Split, count: int) -> Split:
    """The first `count` training images, to train and to test on: the first check of a network."""
    ids = (*split.train, *split.test)[:count]
    return Split(ids, ids)


def equal_content(split: Split, hashes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of a training and a test id whose images are the same file."""
    first = {hashes[id]: id for id in reversed(split.train)}
    return [(first[hashes[id]], id) for id in split.test if hashes[id] in first]


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
