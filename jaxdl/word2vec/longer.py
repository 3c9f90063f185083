"""More epochs for a run: only if it then ends as one that was asked for them at once."""

from typing import Any

from jaxdl.errors import InputError
from jaxdl.word2vec.config import Config


def check_epochs(cfg: Config, record: dict[str, Any]) -> None:
    """Refuse other epochs than those of the run in ``cfg.out``, but for more at a constant rate.

    A rate that falls has fallen by the end of the old epochs.

    Raises:
        InputError: the run cannot grow so; names what to do.
    """
    old, new = record["config"].get("epochs"), cfg.epochs
    if old == new:
        return
    start = f"{cfg.out}: holds a run of another configuration (epochs: {old} -> {new}); "
    other = "name another folder with --out, or use --overwrite"
    if not isinstance(old, int) or new < old:
        raise InputError(f"{start}a run cannot become shorter; {other}")
    if cfg.learning_rate != cfg.end_learning_rate:
        raise InputError(
            f"{start}the rate has fallen by the end of {old} epochs, so {new} are another run; go "
            f"on from its vectors by the same command with --start-from {cfg.out} --out "
            f"{cfg.out}-more --epochs {new - old}, or {other}"
        )
