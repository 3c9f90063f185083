"""Command lines: presets, bounds, messages in one line, exit status."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

from jaxdl.errors import EXIT_STATUS, FULL, InputError, Stopped, TrainingError, writing


def parse(config_type: type, presets: dict[str, Any], argv: Sequence[str], prog: str) -> Any:
    """The command line's config: ``--preset`` picks the defaults of all the other options."""
    name = config_type().preset
    for i, word in enumerate(argv):
        if word == "--preset" and i + 1 < len(argv):
            name = argv[i + 1]
        elif word.startswith("--preset="):
            name = word.split("=", 1)[1]
    # An unknown name is left for tyro to refuse.
    return tyro.cli(
        config_type, default=presets.get(name, config_type()), args=list(argv), prog=prog
    )


def check_least(config: Any, least: int, names: Sequence[str]) -> None:
    """InputError for the first of these fields, numbers or tuples of them, below `least`."""
    for name in names:
        value = getattr(config, name)
        if not min(value if isinstance(value, tuple) else (value,)) >= least:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be {least} or more")


def main(call: Callable[[], object]) -> None:
    """Run a command; what the user should read becomes one line and an exit status."""
    try:
        try:
            call()
        except OSError as error:  # a full disk, wherever it is noticed
            if error.errno not in FULL:
                raise
            with writing(Path(error.filename or "the disk")):
                raise
    except (InputError, TrainingError, Stopped) as message:
        print(f"{'' if isinstance(message, Stopped) else 'error: '}{message}", file=sys.stderr)
        sys.exit(EXIT_STATUS[type(message)])
