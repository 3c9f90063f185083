"""The 2016 posts' check of a new GPU host: a LeNet on digits, through the loop of all subjects.

    jaxdl digits                       8x8 digits, no download, 15 s on 2 CPU cores
    jaxdl digits --data fashion-mnist  IDX files, or a prepared TFDS set
    jaxdl digits --at-least 97         exit status 3 below 97 % of the test part

The posts trained TensorFlow's and Caffe's MNIST examples to see that the driver, the container and
the framework fit together; `containers/` does the same with this.

Only options are read here; what the command does is imported when it does it.
"""

from collections.abc import Sequence

from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import started
from jaxdl.cli.options import Command
from jaxdl.cli.progress import Bar
from jaxdl.digits.config import RESUMABLE, Config

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
        "Devices": ("compile_cache",),
    },
    examples=(
        ("jaxdl digits", "8x8 digits, without a download; 15 seconds on 2 cores."),
        (
            "jaxdl digits --data fashion-mnist --at-least 85",
            "IDX files; exit status 3 below 85 % of the test part.",
        ),
    ),
)


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl digits WORDS``."""

    def call() -> None:
        cfg = started(parse(TRAIN, words))
        from jaxdl.digits.run import run

        run(cfg, Bar())

    main(call)
