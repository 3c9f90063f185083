"""The experiments of the 2016 posts, one script each, from public functions of jaxdl."""

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def start(experiment: Callable[[Any], object], config: Any, command: str) -> None:
    """Run an experiment as a script; its options are ``--out FOLDER`` and ``--seed N``.

    Args:
        experiment: of a config.
        config: its values; `out` and `seed` may be given.
        command: the command that has all options; it is named to those who give others.
    """
    from jaxdl.signals import commanded

    with commanded():
        _start(experiment, config, command)


def _start(experiment: Callable[[Any], object], config: Any, command: str) -> None:
    import argparse

    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    name = Path(sys.argv[0]).stem
    parser.add_argument("--out", type=Path, help=f"default: runs/experiments/{name}-seedN")
    parser.add_argument("--seed", type=int, help="default: %(default)s")
    parser.set_defaults(seed=config.seed)
    options, rest = parser.parse_known_args()
    if rest:
        parser.error(f"{' '.join(rest)}: not an option of this script; {command} --help has more")
    if options.out is None:
        options.out = Path("runs/experiments") / f"{name}-seed{options.seed}"
    from jaxdl.cli.command import main
    from jaxdl.cli.launch import as_dict
    from jaxdl.cli.options import check_ranges
    from jaxdl.cli.paths import check_paths
    from jaxdl.files import locks
    from jaxdl.files.atomic import write_json
    from jaxdl.training.opening import open_run
    from jaxdl.training.run_folder import run_record

    def run() -> None:
        """One process at a time; a folder that holds another run is refused."""
        cfg = dataclasses.replace(config, **vars(options))
        check_ranges(cfg)
        check_paths(cfg)
        with locks.alone(cfg.out):
            if (
                open_run(cfg.out, as_dict(cfg), may_change=("out",), resume=True, overwrite=False)
                is None
            ):
                write_json(cfg.out / "run.json", run_record(name, as_dict(cfg), None))
            experiment(cfg)

    main(run)


# Before jax is imported: its log has false alarms (jaxlib 0.10.1: for each kept program it loads).
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
