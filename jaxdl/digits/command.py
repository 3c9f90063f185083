"""The 2016 posts' check of a new GPU host: a LeNet on digits, through the loop of all subjects.

    jaxdl digits                       8x8 digits, no download, 15 s on 2 CPU cores
    jaxdl digits --data fashion-mnist  IDX files, or a prepared TFDS set
    jaxdl digits --at-least 97         exit status 3 below 97 % of the test part

The posts trained TensorFlow's and Caffe's MNIST examples to see that the driver, the container and
the framework fit together; `containers/` does the same with this.

Only options are read here; what the command does is imported when it does it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import started
from jaxdl.cli.devices import NAMES as DEVICES
from jaxdl.cli.options import Command, check_ranges
from jaxdl.cli.progress import Bar
from jaxdl.digits.config import RESUMABLE, Config
from jaxdl.errors import TrainingError

if TYPE_CHECKING:
    from jax.sharding import Mesh

TRAIN = Command(
    prog="jaxdl digits",
    about="Train a LeNet on digits: the check of a new host.",
    options=Config,
    where=RESUMABLE,
    groups={
        "Data": ("data",),
        "Training": (
            *("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "seed"),
        ),
        "Output": ("out", "resume", "overwrite", "at_least"),
        "Devices": (*DEVICES, "compile_cache"),
    },
    examples=(
        ("jaxdl digits", "8x8 digits, without a download; 15 seconds on 2 cores."),
        (
            "jaxdl digits --data fashion-mnist --at-least 85",
            "IDX files; exit status 3 below 85 % of the test part.",
        ),
    ),
)


def run(cfg: Config, bar: Bar) -> dict[str, Any]:
    """Train (or go on); returns and writes the summary (process 0 alone).

    Raises:
        TrainingError: less than --at-least.
    """
    check_ranges(cfg)
    from jaxdl.cli.launch import train_everywhere
    from jaxdl.digits.data import open_digits
    from jaxdl.digits.train import train_run

    data = open_digits(cfg.data)

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: "Mesh | None") -> dict:
        return train_run(cfg, data, config, record, mesh, bar)

    summary = train_everywhere(
        cfg, bar, train, may_change=RESUMABLE, summary_keys=["digits"], inputs=data.files
    )
    if not summary:
        return {}
    import jax

    accuracy, device = 100 * summary["digits"]["accuracy"], jax.devices()[0]
    bar.line(f"test accuracy {accuracy:.2f} % on {device.device_kind} ({device.platform})")
    bar.line(f"report: {cfg.out / 'report.html'}")
    bar.warn(summary.get("warnings", ()))
    if accuracy < cfg.at_least:
        raise TrainingError(f"test accuracy {accuracy:.2f} %: below --at-least {cfg.at_least:g} %")
    return summary


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl digits WORDS``."""
    main(lambda: run(started(parse(TRAIN, words)), Bar()))
