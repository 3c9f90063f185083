"""Prove and measure the project on a GPU: ``python -m benchmarks.gpu``, at most four minutes.

Each part runs in a process of its own under its own time limit, and writes what it finds at once
to rows.jsonl in the folder of --out; a crash, a hang or a full memory loses no other part. The
table at the end shows what was planned beside what was measured, and what follows from it.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.gpu.parts import PARTS, run_part, share
from benchmarks.gpu.record import read
from benchmarks.gpu.summary import summary
from jaxdl.errors import EXIT_STATUS, InputError, TrainingError
from jaxdl.files.results import work_folder

FILES = ("rows.jsonl", "log.txt", "table.txt")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [part.name for part in PARTS]
    width = max(map(len, names))
    listed = "\n".join(f"  {part.name:<{width}}  {part.about}" for part in PARTS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        epilog=f"parts, in falling value:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", nargs="+", choices=names, default=names, metavar="PART")
    parser.add_argument("--minutes", type=float, help="of all parts together (default 4)")
    parser.add_argument("--quick", action="store_true", help="a small form of all, on a CPU too")
    default = Path(os.environ.get("OUT") or "runs/gpu")
    text = "folder of rows.jsonl, log.txt and table.txt (default: $OUT, or runs/gpu)"
    parser.add_argument("--out", type=Path, default=default, help=text)
    args = parser.parse_args(argv)
    if args.minutes is None:
        # The quick form takes less than one; a busy machine may take longer, and measures nothing.
        args.minutes = 10.0 if args.quick else 4.0
    if not args.minutes > 0:
        parser.error(f"--minutes {args.minutes:g}: must be above 0")
    return args


def main() -> int:
    """Run the parts, print the table; 2 if there is no GPU or no folder, 1 if a part failed."""
    args = parse()
    end = time.time() + 60 * args.minutes - 1
    out = args.out.resolve()
    rows, log, table = (out / name for name in FILES)
    try:
        work_folder(out, "benchmarks.gpu", FILES)
    except (InputError, TrainingError) as message:
        print(f"error: {message}", file=sys.stderr)
        return EXIT_STATUS[type(message)]
    for old in (rows, log):
        old.unlink(missing_ok=True)
    waiting = [part for part in PARTS if part.name in args.parts]
    while waiting:
        part, seconds = waiting[0], share(waiting, end - time.time())
        begin = time.time()
        print(f"{part.name}: {part.about} (at most {seconds:.0f} s) ...", end="", flush=True)
        status = run_part(part, rows, log, seconds, args.quick)
        print(f" {time.time() - begin:.1f} s", flush=True)
        if status == 2:
            print(log.read_text(errors="replace").splitlines()[-1], file=sys.stderr)
            return 2
        waiting.pop(0)
    found = read(rows)
    text = summary(found, args.quick)
    table.write_text(text)
    print(f"\n{text}\nrows: {rows}; what the parts printed: {log}")
    return int(any(row["status"] == "failed" for row in found))


if __name__ == "__main__":
    sys.exit(main())
