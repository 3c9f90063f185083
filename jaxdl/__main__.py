"""`jaxdl` (or `python -m jaxdl`): train, use and plan what the project has; check the machine."""

import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxdl.cli.printing import printing
from jaxdl.errors import EXIT_STATUS, InputError, TrainingError
from jaxdl.signals import commanded

if TYPE_CHECKING:
    from jaxdl.cli.options import Command

# Subject -> its commands; ``jaxdl.SUBJECT.command`` is imported when one is asked for.
SUBJECTS = {
    "fcn": ("train", "finetune", "predict", "evaluate", "compare", "export", "check", "plan"),
    "word2vec": ("train", "query", "evaluate", "export", "plan"),
    "lstm": ("train", "predict", "export", "plan"),
}
HELP = """usage: jaxdl COMMAND [OPTIONS]

Commands; jaxdl COMMAND --help tells the options of one
  fcn train          FCN-32s, 16s, 8s on your images and masks, PASCAL VOC, or drawn scenes
  fcn finetune       a trained run learns your classes from your images and masks
  fcn predict        the classes of your images, by a trained run
  fcn evaluate       every metric of a trained run on labelled images, as a page
  fcn compare        runs beside each other, as a table and a page
  fcn export         a trained run for other programs: safetensors, ONNX, StableHLO
  fcn check          images and masks as training reads them, as a page
  fcn plan           memory, exchange, step time on 1 to 1024 devices, from shapes alone
  word2vec train     word vectors of your text
  word2vec query     neighbours and analogies of trained vectors
  word2vec evaluate  scores of vectors by judged pairs and analogies
  word2vec export    vectors as text, binary, npz, or for TensorBoard's projector
  word2vec plan      the same for word vectors
  lstm train         the 2016 post's sine, or a series of your own
  lstm predict       what comes next
  lstm export        a forecaster as an ONNX graph, or as a page
  lstm plan          the same for the LSTMs
  digits             a small network on digits, the check of a new host
  demo               one page of the demo's runs
  doctor             what keeps this machine from training on its GPU, and how to repair it
  compile-check      compile the project's steps for NVIDIA cards, without a GPU

Options
  --help, --version
  --completion bash  print a completion script (or zsh): eval "$(jaxdl --completion bash)"

Exit status: 0 done; 1 a fault of ours; 2 bad input or options; 3 stopped by the machine (a full
disk, a lost process, a loss that is not finite); 4 done, but some inputs were skipped; 143, 129
or 130 stopped by SIGTERM, SIGHUP or Ctrl-C, saved: the same command resumes."""


def refuse(text: str) -> int:
    """One line on what was typed."""
    print(f"error: {text}; see jaxdl --help", file=sys.stderr)
    return EXIT_STATUS[InputError]


def subject(name: str, words: Sequence[str]) -> int:
    """``jaxdl SUBJECT COMMAND WORDS``."""
    commands = SUBJECTS[name]
    if words[:1] in (["-h"], ["--help"]):
        print(f"usage: jaxdl {name} {{{','.join(commands)}}} [OPTIONS]")
        print(*(line for line in HELP.splitlines() if line.startswith(f"  {name} ")), sep="\n")
        return 0
    if not words or words[0] not in commands:
        typed = f"jaxdl {name} {words[0]}: no such command" if words else f"jaxdl {name}"
        return refuse(f"{typed}: give one of {', '.join(commands)}")
    importlib.import_module(f"jaxdl.{name}.command").command(words[0], words[1:])
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, by default that of the command line; bad input becomes one line.

    Only the process' own command line lets signals end it in one line (`jaxdl.signals`).
    """
    if argv is not None:
        return printed(list(argv))
    with commanded():
        return printed(sys.argv[1:])


def printed(words: list[str]) -> int:
    """Run a command; what it prints arrives, or that is said."""
    try:
        with printing():
            return run(words)
    except TrainingError as message:  # what was printed could not be written
        print(f"error: {message}", file=sys.stderr)
        return EXIT_STATUS[TrainingError]


def run(words: list[str]) -> int:
    """Find the command and run it."""
    name = words[0] if words else ""
    if name in ("", "-h", "--help"):
        print(HELP, file=sys.stdout if name else sys.stderr)
        return 0 if name else EXIT_STATUS[InputError]
    if name == "--version":
        from importlib.metadata import version  # takes long to import

        print(f"jaxdl {version('jaxdl-functional')}")
        return 0
    if name == "--completion":
        return completion(words[1:])
    # Before jax is imported: what is wrong becomes an error; its log has false alarms beside it
    # (jaxlib 0.10.1: several lines for each kept program that it loads). 1 is what importing jax
    # sets: a notebook or script that has imported it passes that on to the commands it starts.
    if name != "doctor" and os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if name in SUBJECTS:
        return subject(name, words[1:])
    if name == "digits":
        from jaxdl.digits.command import command

        command(name, words[1:])
        return 0
    if name == "demo":
        from jaxdl.demo import command

        command(name, words[1:])
        return 0
    if name not in ("doctor", "compile-check"):
        return refuse(f"{name}: no such command")
    return check(name, words[1:])


def commands() -> dict[str, "Command"]:
    """Every command's options, by what is typed after `jaxdl`."""
    from jaxdl import demo
    from jaxdl.cli import checks
    from jaxdl.digits.command import TRAIN

    found = {}
    for name in SUBJECTS:
        module = importlib.import_module(f"jaxdl.{name}.command")
        found |= {f"{name} {own}": command for own, command in module.COMMANDS.items()}
    found |= {"digits": TRAIN, "demo": demo.DEMO}
    return found | {"doctor": checks.DOCTOR, "compile-check": checks.COMPILE_CHECK}


def completion(words: Sequence[str]) -> int:
    """``jaxdl --completion SHELL``."""
    from jaxdl.cli.completion import SHELLS, script

    if len(words) != 1 or words[0] not in SHELLS:
        return refuse(f"--completion {' '.join(words)}".strip() + f": give {' or '.join(SHELLS)}")
    print(script(commands(), words[0]), end="")
    return 0


def check(name: str, words: Sequence[str]) -> int:
    """``jaxdl doctor`` or ``jaxdl compile-check``."""
    from jaxdl.cli import checks
    from jaxdl.cli.command import main as ended
    from jaxdl.cli.command import parse

    def call() -> int:
        if name == "doctor":
            options = parse(checks.DOCTOR, words)
            from jaxdl.doctor import command  # never imports jax

            return command.run(**dataclasses.asdict(options))
        cfg = parse(checks.COMPILE_CHECK, words)
        os.environ["JAX_PLATFORMS"] = "cpu"  # before jax is imported: no GPU is looked for
        from jaxdl.fcn.plan import fcn
        from jaxdl.lstm.plan import lstm
        from jaxdl.planner import compile_check
        from jaxdl.word2vec.plan import word2vec

        return compile_check.run(cfg, compile_check.Subjects(fcn, word2vec, lstm))

    return ended(call)


if __name__ == "__main__":
    sys.exit(main())
