"""``jaxdl lstm plan``."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from jaxdl.cli.command import check_least
from jaxdl.cli.plan import Options, finish, read
from jaxdl.lstm.plan import lstm
from jaxdl.lstm.setup import optimizer_of as lstm_optimizer
from jaxdl.planner import plan
from jaxdl.planner.steps import Step


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions(Options):
    __doc__ = Options.__doc__

    columns: int = 1
    """Of the series."""


def run(argv: Sequence[str], prog: str, config_type: type, presets: dict[str, Any]) -> None:
    """The LSTM sweep's plan: its members spread over the devices."""
    options, cfg = read(SweepOptions, config_type, presets, argv, prog)
    check_least(options, 1, ("columns",))
    check_least(cfg, 1, ("seeds", "layers", "window", "batch", "every", "hidden"))
    members = len(cfg.hidden) * cfg.seeds

    @functools.cache
    def share(most: int) -> Step:
        return lstm(
            *(cfg.hidden, cfg.seeds, cfg.every, cfg.batch),
            window=cfg.window,
            columns=options.columns,
            layers=cfg.layers,
            most=most,
            optimizer=lstm_optimizer(cfg),
        )

    def work(devices: int) -> plan.Work:
        return plan.sweep(share(-(-members // devices)), members, devices)

    told = [
        f"{members} networks, spread over the devices: a device beyond them has nothing to do. A "
        f"step is {cfg.every} epochs; only the mean loss is exchanged.",
    ]
    finish("LSTM sweep", options, work, "float32", told)
