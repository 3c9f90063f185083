"""``jaxdl word2vec plan``."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jax.sharding import AbstractMesh

from jaxdl.cli.command import check_least
from jaxdl.cli.plan import Options, finish, read
from jaxdl.devices.mesh import AXES
from jaxdl.errors import InputError
from jaxdl.planner import plan
from jaxdl.word2vec.batches import DISPATCH
from jaxdl.word2vec.objectives import Objective
from jaxdl.word2vec.plan import WORDS, word2vec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WordOptions(Options):
    __doc__ = Options.__doc__

    words: int = WORDS
    """Size of the vocabulary."""


def run(argv: Sequence[str], prog: str, config_type: type, presets: dict[str, Any]) -> None:
    """word2vec's plan: tables split by rows and blocks by groups, over all devices."""
    options, cfg = read(WordOptions, config_type, presets, argv, prog)
    check_least(options, 1, ("words",))
    check_least(cfg, 1, ("width", "window", "negatives", "group", "shared"))
    if cfg.block < cfg.group or cfg.block % cfg.group:
        raise InputError(f"--block {cfg.block}: must be a multiple of --group {cfg.group}")
    if cfg.loss != "negative-sampling":
        raise InputError(f"--loss {cfg.loss}: only negative-sampling is planned")
    if cfg.optimizer != "sgd":
        raise InputError(
            f"--optimizer {cfg.optimizer}: moves whole tables, which are not split; use sgd"
        )
    objective = Objective(
        architecture=cfg.architecture,
        orientation=cfg.orientation,
        window=cfg.window,
        group=cfg.group,
        shared=cfg.shared,
        negatives=cfg.negatives,
        masked=cfg.masked,
    )

    def work(devices: int) -> plan.Work:
        mesh = None if devices == 1 else AbstractMesh((devices, 1), AXES)
        step = word2vec(
            *(cfg.block * devices, DISPATCH, mesh),
            words=options.words,
            width=cfg.width,
            objective=objective,
        )
        return plan.word2vec(step, devices)

    told = [
        f"{options.words:,} words of {cfg.width} numbers; a step is {DISPATCH} blocks of "
        f"{cfg.block} words a device, so blocks grow with the devices, which costs quality.",
        "Both tables are split by rows. For each block the ids are gathered, the rows that it "
        "reads reduced and scattered, and the changed rows gathered: O(block), never a table.",
        "Preparing the blocks (subsampling, windows, negatives) is left out.",
    ]
    finish("word2vec", options, work, "float32", told)
