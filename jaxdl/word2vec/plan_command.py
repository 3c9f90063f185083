"""``jaxdl word2vec plan``."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from jaxdl.cli.plan import check, finish, number
from jaxdl.cli.plan_options import Options
from jaxdl.devices.mesh import abstract_mesh
from jaxdl.errors import InputError
from jaxdl.files.results import Results
from jaxdl.planner import plan
from jaxdl.word2vec import plan_workers
from jaxdl.word2vec.batches import DISPATCH
from jaxdl.word2vec.config import Config, block_of, check_blocks
from jaxdl.word2vec.objectives import Objective
from jaxdl.word2vec.plan import word2vec


def _check(cfg: Config) -> None:
    if cfg.loss != "negative-sampling":
        raise InputError(f"--loss {cfg.loss}: only negative-sampling is planned")
    if cfg.optimizer != "sgd":
        raise InputError(
            f"--optimizer {cfg.optimizer}: moves whole tables, which are not split; use sgd"
        )


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
    _check(cfg)
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


def run_workers(options: Options, cfg: Config, words: int, cores: Sequence[int]) -> None:
    """The plan of `--workers` on CPU cores: computed, printed, written.

    Args:
        options: output.
        cfg: the run that is planned.
        words: size of the vocabulary.
        cores: numbers of workers, a row each.

    Raises:
        InputError: another objective than skip-gram's negative sampling by SGD, or a GPU's options.
    """
    _check(cfg)
    if cfg.architecture != "skip-gram":
        raise InputError(f"--architecture {cfg.architecture}: --cores plans skip-gram alone")
    for name in ("devices", "card", "network"):
        if getattr(options, name) != getattr(Options(), name):
            raise InputError(f"--{name}: --cores plans CPU cores; leave one of the two out")
    results = Results("jaxdl word2vec plan")
    if options.json is not None:
        results.check(options.json)
    found = plan_workers.rows(cores, words, cfg.dim)
    said = plan_workers.assumptions(words, cfg.dim)
    title = "word2vec --workers on CPU cores: planned, not measured"
    table = Table(title=title, title_justify="left")
    columns = ("workers", "GB", "join MB", "train s", "join s", "words/s", "efficiency")
    for name in columns:
        table.add_column(name, justify="right")
    for row in found:
        cells = (row.memory / 1e9, row.moved / 1e6, row.train_s, row.join_s, row.words_per_s)
        table.add_row(f"{row.workers:,}", *map(number, cells), f"{row.efficiency:.1%}")
    console = Console()
    console.print(table)
    for line in said:
        console.print(f"- {line}", soft_wrap=True, markup=False, highlight=False)
    if options.json is not None:
        rows = [row._asdict() for row in found]
        results.write_json(options.json, {"rows": rows, "assumptions": said})
