"""What a finding is: a question, a rule that was written before, numbers of seeds, a verdict.

A rule compares numbers of the same seed (paired differences). Its interval is the 95 % t-interval
of their mean.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from jaxdl.cli.progress import Bar

Verdict = Literal["confirmed", "refuted", "open"]


class Interval(NamedTuple):
    """The mean of some values and its 95 % t-interval; of one value the interval is all numbers."""

    mean: float
    low: float
    high: float
    count: int

    def text(self, digits: int = 2, scale: float = 1.0) -> str:
        """Such as ``1.20 [1.10, 1.30]``."""
        mean, low, high = (f"{scale * value:.{digits}f}" for value in self[:3])
        return f"{mean} [{low}, {high}]"


def interval(values: Iterable[float]) -> Interval:
    """The mean of independent values, and its 95 % interval by Student's t."""
    found = np.asarray(list(values), np.float64)
    if len(found) < 2:
        return Interval(float(found.mean()), -math.inf, math.inf, len(found))
    half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found))
    mean = float(found.mean())
    return Interval(mean, mean - float(half), mean + float(half), len(found))


def verdict(found: Interval, threshold: float = 0.0) -> Verdict:
    """Whether a number is above a threshold, by its whole interval."""
    if found.low > threshold:
        return "confirmed"
    return "refuted" if found.high < threshold else "open"


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Of a claim in several parts: all must hold, and one that does not refutes it."""
    if "refuted" in verdicts:
        return "refuted"
    return "confirmed" if set(verdicts) == {"confirmed"} else "open"


class Check(NamedTuple):
    """One number that a rule asks for; it holds if the interval is above the threshold."""

    name: str
    found: Interval
    threshold: float = 0.0
    digits: int = 2

    @property
    def verdict(self) -> Verdict:
        return verdict(self.found, self.threshold)


class Finding(NamedTuple):
    """A question of the posts, answered."""

    question: str
    rule: str
    checks: list[Check]
    columns: list[str]
    rows: list[list[str]]

    @property
    def verdict(self) -> Verdict:
        return together([check.verdict for check in self.checks])

    def as_json(self) -> dict[str, Any]:
        """With its verdicts."""
        checks = [{**c._asdict(), "found": c.found._asdict(), "verdict": c.verdict}
                  for c in self.checks]  # fmt: skip
        return {**self._asdict(), "verdict": self.verdict, "checks": checks}


class Setting(NamedTuple):
    """Where and how a part measures."""

    folder: Path  # of the part: runs that resume
    data_dir: Path
    quick: bool  # the small form, which says nothing of the finding
    bar: Bar


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One experiment, which answers one finding or two."""

    name: str
    measure: Callable[[Setting, list[int]], Iterator[tuple[int, dict[str, Any]]]]
    """Numbers of each seed, as JSON."""
    judge: Callable[[list[dict[str, Any]]], list[Finding]]
    """The findings, from the numbers of all seeds."""
    draw: Callable[[list[dict[str, Any]], Figure], None]
    """One picture of them."""
    height: float = 3.6
    """Of the picture, inches."""
    per_seed: int = 1
    """So many seeds for each that was asked for: of networks that are cheap."""
