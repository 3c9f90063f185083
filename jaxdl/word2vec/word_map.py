"""A map of the most frequent words: their places, and labels that do not overlap."""

import itertools
import math
import unicodedata
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdl.files.text import clip

MAP_SIZE = (1040.0, 720.0)  # width and height of the map, in its own units
_MARGIN, _SMALL, _LARGE = 14.0, 11.0, 21.0  # round the map; font of the rarest, commonest word


def word_map(
    words: Sequence[str], vectors: Float[np.ndarray, "n d"], seed: int
) -> dict[str, list[Any]]:
    """The words on a plane, similar ones near each other: t-SNE of their vectors' directions.

    Args:
        words: n of them, 0 or more.
        vectors: finite; their lengths do not count.
        seed: of t-SNE; the same seed gives the same map.

    Returns "words", "x" and "y", n long, in t-SNE's units around 0; ready for JSON.
    """
    if not words:
        return {"words": [], "x": [], "y": []}
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.where(norms > 0, norms, 1)).astype(np.float64)
    # t-SNE starts from the two main directions; scikit-learn's own fail on width 1, equal rows.
    left, spread, _ = np.linalg.svd(unit - unit.mean(0, keepdims=True), full_matrices=False)
    points = np.zeros((len(words), 2))
    points[:, : len(spread[:2])] = (left * spread)[:, :2]
    points /= max(points[:, 0].std(), 1e-9)
    if len(words) > 5:  # fewer are too few to have neighbours
        points = _tsne(unit, points, seed)
    points = points - points.mean(0, keepdims=True)
    return {"words": list(words), "x": points[:, 0].tolist(), "y": points[:, 1].tolist()}


def _tsne(
    unit: Float[np.ndarray, "n d"], start: Float[np.ndarray, "n 2"], seed: int
) -> Float[np.ndarray, "n 2"]:
    """t-SNE by cosine distance, from a start whose spread is 1."""
    from sklearn.manifold import TSNE  # a second or two to import
    from threadpoolctl import threadpool_limits

    init: Any = (1e-4 * start).astype(np.float32)  # Any: the type stubs know no array here
    few = min(30.0, (len(unit) - 1) / 3)
    tsne: Any = TSNE(metric="cosine", init=init, perplexity=few, random_state=seed)
    # Threads add up in any order, and a thousand steps make two maps of such a difference.
    with threadpool_limits(1), warnings.catch_warnings():
        # It counts the cores all the same, and warns where it cannot.
        warnings.filterwarnings("ignore", "Could not find the number of physical cores")
        return tsne.fit_transform(unit).astype(np.float64)


class Label(NamedTuple):
    """A word on the map, in the map's units: its point, and the box of its text."""

    word: str
    count: int
    x: float
    y: float
    font: float  # size of the text
    box: tuple[float, float, float, float]  # left, top, right, bottom
    shown: bool  # else there is a dot at the point, and the box means nothing


def _width(text: str) -> float:
    """About the width of a text in a sans-serif font, rather over than under; in font sizes."""
    width = 0.0
    for letter in text:
        if unicodedata.east_asian_width(letter) in "WF":
            width += 1.05
        elif not unicodedata.combining(letter):
            width += 0.95 if letter in "mwMW@%" else 0.75 if letter.isupper() else 0.6
    return width


def _fill(values: Sequence[float], length: float) -> list[float]:
    """Coordinates moved and scaled to fill a side of the map; its middle if all are equal."""
    low, high = min(values), max(values)
    if high == low:
        return [length / 2] * len(values)
    scale = (length - 2 * _MARGIN) / (high - low)
    return [_MARGIN + scale * (value - low) for value in values]


def place_labels(
    words: Sequence[str], x: Sequence[float], y: Sequence[float], counts: Sequence[int]
) -> list[Label]:
    """Where each word goes on a map of MAP_SIZE: commonest first, and no two texts overlap.

    A text touches its point, and lies upon it if it can; a word without room is not shown.
    """
    if not words:
        return []
    sizes = [math.log1p(max(count, 0)) for count in counts]
    low, span = min(sizes), max(max(sizes) - min(sizes), 1e-9)
    points = list(zip(_fill(x, MAP_SIZE[0]), _fill(y, MAP_SIZE[1]), strict=True))
    taken = np.empty((0, 4))  # left, top, right, bottom
    labels = []
    for n in sorted(range(len(words)), key=lambda n: -counts[n]):
        word, (at_x, at_y) = clip(words[n], 24), points[n]
        font = _SMALL + (_LARGE - _SMALL) * (sizes[n] - low) / span
        width, height = font * (_width(word) + 0.3), 1.2 * font
        for down, right in itertools.product((0, -0.5, 0.5), (0, -0.25, 0.25, -0.5, 0.5)):
            left = min(max(at_x + (right - 0.5) * width, 0.0), MAP_SIZE[0] - width)
            top = min(max(at_y + (down - 0.5) * height, 0.0), MAP_SIZE[1] - height)
            box = (left, top, left + width, top + height)
            apart = (taken[:, :2] >= box[2:]) | (taken[:, 2:] <= box[:2])
            if shown := bool(apart.any(1).all()):
                taken = np.concatenate([taken, [box]])
                break
        labels.append(Label(word, counts[n], at_x, at_y, font, box, shown))
    return labels
