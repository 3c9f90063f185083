"""One part in a process of its own: ``python -m benchmarks.gpu.child`` (the parent gives all)."""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.gpu.record import Recorder
from jaxdl.errors import InputError


def main() -> None:
    """Exit status 2: the part cannot run here at all; what it says is in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", required=True)
    parser.add_argument("--module", required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--label", default="")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    recorder = Recorder(args.part, args.rows, args.until, args.quick, args.label)
    try:
        importlib.import_module(f"benchmarks.gpu.{args.module}").run(recorder)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
