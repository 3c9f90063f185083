"""``jaxdl lstm plan``."""

import functools

from jaxdl.cli.plan import check, finish
from jaxdl.cli.plan_options import Options
from jaxdl.lstm.config import Config
from jaxdl.lstm.lengths import USUAL
from jaxdl.lstm.plan import lstm
from jaxdl.lstm.setup import optimizer_of as lstm_optimizer
from jaxdl.planner import plan
from jaxdl.planner.steps import Step


def run(options: Options, cfg: Config, *, columns: int) -> None:
    """The LSTM sweep's plan: its members spread over the devices.

    Args:
        options: devices, card and output.
        cfg: the run that is planned.
        columns: of the series.
    """
    results = check(options, "jaxdl lstm plan")
    members = len(cfg.hidden) * cfg.seeds

    @functools.cache
    def share(most: int) -> Step:
        return lstm(
            *(cfg.hidden, cfg.seeds, cfg.log_every, cfg.batch_size),
            window=cfg.window or USUAL,
            columns=columns,
            layers=cfg.layers,
            cell=cfg.cell,
            most=most,
            optimizer=lstm_optimizer(cfg),
        )

    def work(devices: int) -> plan.Work:
        return plan.sweep(share(-(-members // devices)), members, devices)

    told = [
        f"{members} networks, spread over the devices: a device beyond them has nothing to do. A "
        f"step is {cfg.log_every} epochs; only the mean loss is exchanged.",
    ]
    finish(f"{cfg.cell.upper()} sweep", options, results, work, "float32", told)
