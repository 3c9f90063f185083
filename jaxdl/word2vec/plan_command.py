"""``jaxdl word2vec plan``."""

from jaxdl.cli.plan import check, finish
from jaxdl.cli.plan_options import Options
from jaxdl.devices.mesh import abstract_mesh
from jaxdl.errors import InputError
from jaxdl.planner import plan
from jaxdl.word2vec.batches import DISPATCH
from jaxdl.word2vec.config import Config, block_of, check_blocks
from jaxdl.word2vec.objectives import Objective
from jaxdl.word2vec.plan import word2vec


def run(options: Options, cfg: Config, *, words: int) -> None:
    """word2vec's plan: tables split by rows and blocks by groups, over all devices.

    Args:
        options: devices, card and output.
        cfg: the run that is planned.
        words: size of the vocabulary.
    """
    results = check(options, "jaxdl word2vec plan")
    check_blocks(cfg)
    block = block_of(cfg, "gpu")
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
        shared=cfg.shared_negatives,
        negatives=cfg.negatives,
        masked=cfg.masked,
    )

    def work(devices: int) -> plan.Work:
        mesh = None if devices == 1 else abstract_mesh(devices)
        step = word2vec(
            *(block * devices, DISPATCH, mesh),
            words=words,
            width=cfg.dim,
            objective=objective,
        )
        return plan.word2vec(step, devices)

    told = [
        f"{words:,} words of {cfg.dim} numbers; a step is {DISPATCH} blocks of "
        f"{block} words a device, so blocks grow with the devices, which costs quality.",
        "Both tables are split by rows. For each block the ids are gathered, the rows that it "
        "reads reduced and scattered, and the changed rows gathered: O(block), never a table.",
        "Preparing the blocks (subsampling, windows, negatives) is left out.",
    ]
    finish("word2vec", options, results, work, "float32", told)
