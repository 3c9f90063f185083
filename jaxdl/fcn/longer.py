"""More epochs for a run: only if it then ends as one that was asked for them at once."""

from typing import Any

from jaxdl.errors import InputError
from jaxdl.fcn.config import Config
from jaxdl.files.atomic import plain


def check_epochs(cfg: Config, record: dict[str, Any]) -> None:
    """Refuse other epochs than those of the run in ``cfg.out``, but for more in its last stage.

    The rate must be constant: a falling one has fallen by the end of the old epochs. Later stages
    began from the end of the earlier ones, which therefore stay as they are.

    Raises:
        InputError: the run cannot grow so.
    """
    old, new = record["config"].get("epochs"), plain(cfg.epochs)
    if old == new:
        return
    shown = " ".join(map(str, new))
    start = f"{cfg.out}: holds a run of another configuration (epochs: {old} -> {new}); "
    other = "name another folder with --out, or use --overwrite"
    if not (isinstance(old, list) and len(old) == len(new) and all(old) and all(new)):
        raise InputError(f"{start}{other}")
    if old[:-1] != new[:-1]:
        longest = " ".join(map(str, [*old[:-1], max(old[-1], new[-1])]))
        raise InputError(
            f"{start}the last stage alone can train longer, as it began from the end of the one "
            f"before (--epochs {longest}); or {other}"
        )
    if new[-1] < old[-1]:
        raise InputError(f"{start}a run cannot become shorter; {other}")
    if cfg.schedule != "constant":
        raise InputError(
            f"{start}with --schedule {cfg.schedule} the rate has fallen by the end of {old[-1]} "
            f"epochs, so --epochs {shown} is another run; go on from its checkpoint with jaxdl fcn "
            f"finetune {cfg.out}, or {other}"
        )
