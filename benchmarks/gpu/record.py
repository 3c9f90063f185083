"""What a part measures: a JSON line for each row, written at once, and how it keeps to its time."""

import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

C = TypeVar("C")
SAMPLE = 0.02  # seconds that a sample lasts at least: reading the clock and waiting cost nothing


class Timing(NamedTuple):
    """Seconds of one call: the median of the samples, the lowest and the highest."""

    median: float
    low: float
    high: float


def measure(call: Callable[[], Any], seconds: float, most: int = 30) -> Timing:
    """Time `call` in samples of several calls each, for about so long; the first is a warm-up.

    Args:
        call: dispatches work and returns arrays of it, in which the last sample ends.
        seconds: for all samples; three are taken in any case, unless one takes that long alone.
        most: samples.
    """
    import jax

    def sample(calls: int) -> float:
        begin, out = time.perf_counter(), None
        for _ in range(calls):
            out = call()
        jax.block_until_ready(out)
        return (time.perf_counter() - begin) / calls

    sample(1)  # compiles, allocates
    once = sample(1)
    if once > seconds:
        return Timing(once, once, once)
    calls = max(1, min(200, round(SAMPLE / max(once, 1e-6))))
    found, end = [], time.perf_counter() + seconds
    while len(found) < 3 or (time.perf_counter() < end and len(found) < most):
        found.append(sample(calls))
        if time.perf_counter() > end + seconds:
            break
    return Timing(statistics.median(found), min(found), max(found))


@dataclass
class Recorder:
    """Where a part writes its rows, and until when it may run.

    A row is a dictionary: `part`, `what`, `unit`, `status` (measured, skipped or failed), and of
    what was measured `measured`, `low`, `high`, `planned` (None where nothing is), `ratio` of
    measured to planned, `note`; and whatever else the part tells. `detail` rows are not shown.
    """

    part: str
    rows: Path
    until: float  # time.time() at which the part has to be done
    quick: bool = False
    label: str = ""  # in front of every row's name: a variant of a part
    longest: float = field(default=0.0, init=False)  # seconds of a case so far

    def write(self, what: str, status: str, **more: Any) -> None:
        """One line, at once: a crash loses nothing that was found before it."""
        row = {"part": self.part, "what": self.label + what, "status": status} | more
        with self.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def row(
        self, what: str, unit: str, measured: float, planned: float | None = None, **more: Any
    ) -> None:
        """Something measured, perhaps with `low`, `high` and a `note`."""
        ratio = measured / planned if planned else None
        given = {"unit": unit, "measured": measured, "planned": planned, "ratio": ratio}
        self.write(what, "measured", **(given | more))

    def rate(
        self,
        what: str,
        unit: str,
        items: float,
        timing: Timing,
        planned: float | None = None,
        **more: Any,
    ) -> None:
        """Items a second, of the seconds of a call."""
        spread = {"low": items / timing.high, "high": items / timing.low}
        self.row(what, unit, items / timing.median, planned, **spread, **more)

    def skip(self, what: str, why: str) -> None:
        """Something left out."""
        self.write(what, "skipped", note=why)

    def left(self) -> float:
        """Seconds."""
        return self.until - time.time()

    @contextmanager
    def case(self, what: str) -> Iterator[None]:
        """One case of several: an error in it is a row, and the next case runs."""
        begin = time.time()
        try:
            yield
        except Exception as error:  # whatever the library says is the finding
            lines = [line for line in str(error).splitlines() if line.strip()] or [""]
            self.write(what, "failed", note=f"{type(error).__name__}: {lines[0][:200]}")
        finally:
            self.longest = max(self.longest, time.time() - begin)

    def run(
        self, cases: Iterable[C], name: Callable[[C], str], call: Callable[[C], object]
    ) -> None:
        """Call with each of the cases while there is time for one that takes as long as any so far.

        An error in one becomes a row, as do those that are not reached.
        """
        waiting = list(cases)
        while waiting and self.left() > self.longest:
            one = waiting.pop(0)
            print(f"{self.part}: {self.label}{name(one)}", flush=True)
            with self.case(name(one)):
                call(one)
        if waiting:
            names = ", ".join(map(name, waiting[:3])) + (", ..." if len(waiting) > 3 else "")
            self.skip(f"{len(waiting)} more cases", f"no time left (--minutes): {names}")


def read(rows: Path) -> list[dict[str, Any]]:
    """All rows written so far; a line that a killed process left unfinished is none."""
    found = []
    for line in rows.read_text().splitlines() if rows.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def rates(rows: Path) -> Mapping[str, float]:
    """What part `machine` measured: flops/s of float32, tf32 and bfloat16, bytes/s of copy."""
    return {row["rate"]: row["measured"] for row in read(rows) if "rate" in row}
