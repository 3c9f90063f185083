"""Whether a stage made its network worse: it is said, and the better checkpoint is kept."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxdl.errors import InputError
from jaxdl.fcn.config import Config
from jaxdl.files.atomic import read_json
from jaxdl.training.run_folder import read_rows

WORSE = 0.005  # of a mean IU: less is chance
TIMES = 1.5  # a training loss of so many times the start's is one that rises


def started_at(cfg: Config, name: str) -> float | None:
    """The cross-entropy at a stage's start; None if not measured, or if another loss is trained.

    What lowers a weighted loss or Dice may raise the plain cross-entropy.
    """
    if cfg.class_weights or cfg.dice:
        return None
    try:
        found = read_json(cfg.out / name / "transfer.json").get("loss")
    except (AttributeError, InputError):
        return None
    return found if isinstance(found, (int, float)) else None


def too_high(loss: Any, start: float | None) -> str:
    """What to say of an epoch's training loss; nothing if it is not far above the start's."""
    if loss is None or start is None or loss <= TIMES * start:
        return ""
    return f"the training loss {loss:.3g} is above that of the start, {start:.3g}"


def first_rise(cfg: Config, number: int) -> Callable[[int, Any], list[str]]:
    """``say(epoch, loss)``: what to say of a stage's training loss, once: at its first rise."""
    name, told = f"fcn{cfg.stages[number]}s", list[int]()

    def say(epoch: int, loss: Any) -> list[str]:
        worse = "" if told else too_high(loss, started_at(cfg, name))
        if not worse:
            return []
        told.append(epoch)
        return [
            f"{name} epoch {epoch}: {worse}; lower --learning-rate ({cfg.learning_rate[number]:g})"
        ]

    return say


def never_warm(cfg: Config, number: int, steps: int) -> list[str]:
    """What to say of a warm-up that is not over when a stage ends; mostly nothing."""
    if cfg.warmup < steps or not cfg.warmup:
        return []
    return [
        f"fcn{cfg.stages[number]}s: --warmup {cfg.warmup} is not over after its {steps} steps: "
        "--learning-rate is not reached; lower it, or train longer"
    ]


def worse_than_start(cfg: Config, number: int, rows: Sequence[dict[str, Any]]) -> list[str]:
    """What to say of a stage whose loss rose, or that is below the stage before it; mostly nothing.

    Args:
        cfg: the config.
        number: of the stage.
        rows: its metrics, by epoch.
    """
    name, rate = f"fcn{cfg.stages[number]}s", cfg.learning_rate[number]
    advice = f"its --learning-rate, {rate:g}, may be too high; the best checkpoint is the one used"
    start = started_at(cfg, name)
    found = []
    if rises := [row for row in rows if too_high(row["train"]["loss"], start)]:
        worst = max(rises, key=lambda row: row["train"]["loss"])
        text = too_high(worst["train"]["loss"], start)
        found.append(f"{name}: in epoch {worst['epoch']} {text}; {advice}")
    if number:
        before = f"fcn{cfg.stages[number - 1]}s"
        mine, theirs = _best(rows), _best(read_rows(cfg.out / before / "metrics.jsonl"))
        if mine is not None and theirs is not None and mine < theirs - WORSE:
            text = f"mean IU {mine:.1%} is below {before}'s {theirs:.1%}"
            found.append(f"{name}: its {text}; {advice}")
    return found


def _best(rows: Sequence[dict[str, Any]]) -> float | None:
    scores = [row["test"]["mean_iu"] for row in rows if row["test"]["mean_iu"] is not None]
    return max(scores, default=None)
