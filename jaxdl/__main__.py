"""`jaxdl` (or `python -m jaxdl`): checks of the machine and of the project's programs."""

import os
import sys
from collections.abc import Sequence

import tyro

from jaxdl.errors import EXIT_STATUS, InputError

COMMANDS = ("doctor", "compile-check")
HELP = """usage: jaxdl COMMAND [-h] [OPTIONS]

  doctor         what stands between this machine and training on its GPU, and what mends it
  compile-check  compile the project's steps for NVIDIA cards, without a GPU

The experiments are commands of their own: python -m experiments.fcn --help"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input becomes one line."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in COMMANDS:
        asked = bool(words) and words[0] in ("-h", "--help")
        print(HELP, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    prog = f"jaxdl {words[0]}"
    try:
        if words[0] == "doctor":
            from jaxdl.doctor import command  # never imports jax

            return command.run(tyro.cli(command.Config, args=words[1:], prog=prog))
        # Before jax is imported: no GPU is looked for, and XLA keeps its remarks to itself.
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from jaxdl.fcn.plan import fcn
        from jaxdl.lstm.plan import lstm
        from jaxdl.planner import compile_check
        from jaxdl.word2vec.plan import word2vec

        cfg = tyro.cli(compile_check.Config, args=words[1:], prog=prog)
        return compile_check.run(cfg, compile_check.Subjects(fcn, word2vec, lstm))
    except InputError as message:
        print(f"error: {message}", file=sys.stderr)
        return EXIT_STATUS[InputError]


if __name__ == "__main__":
    sys.exit(main())
