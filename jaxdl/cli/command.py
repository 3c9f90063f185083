"""Command lines: old names, presets, saved options, ranges; messages in one line, exit status."""

import contextlib
import difflib
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from jaxdl.cli import saved
from jaxdl.cli.help import help_text
from jaxdl.cli.options import Command, by_flag, check_ranges, options_of
from jaxdl.cli.paths import check_path, check_paths
from jaxdl.cli.printing import printing
from jaxdl.errors import (
    BARRED,
    FULL,
    InputError,
    Skipped,
    Stopped,
    TrainingError,
    exit_status,
    writing,
)
from jaxdl.files.text import reason

T = TypeVar("T")


def parse(command: Command, words: Sequence[str]) -> Any:
    """The options that were typed, each in its range; --help prints and leaves.

    Raises:
        InputError: an option or a value that the command does not take.
    """
    if "-h" in words or "--help" in words:
        print(help_text(command, command.presets.get(_preset(words) or _first_preset(command))))
        sys.exit(0)
    typed, config = _new_names(command, words)
    preset = _preset(typed)
    if config is not None and preset is not None:
        raise InputError("--preset and --config both choose the other options; give one of them")
    default = None
    if command.presets:
        named = command.choose(typed) if config is None and preset is None else preset
        named = (config or {}).get("preset", named)
        # An unknown name is left to be refused with the choices.
        default = command.presets.get(named, command.presets[_first_preset(command)])
    elif config is not None:
        default = command.options()
    if config is not None:
        default = saved.apply(command, default, config)
    _check_values(command, typed)
    options = _read(command, typed, default)
    check_ranges(options)
    check_paths(options, command.pipes)
    return options


def _first_preset(command: Command) -> str:
    """The name of the preset that holds if none is chosen: the options' own default."""
    named = (option.default for option in options_of(command.options) if option.name == "preset")
    return next(named, "")


def _preset(words: Sequence[str]) -> str | None:
    found = None
    for n, word in enumerate(words):
        if word == "--preset":
            found = "".join(words[n + 1 : n + 2])
        elif word.startswith("--preset="):
            found = word.partition("=")[2]
    return found


def _new_names(command: Command, words: Sequence[str]) -> tuple[list[str], dict[str, Any] | None]:
    """The words with today's flags, and the config of --config if it was typed.

    Raises:
        InputError: an unknown flag, one that is gone, or an empty value.
    """
    options = {option.name: option for option in options_of(command.options)}
    flags = by_flag(command.options)
    known = {flag for flag, option in flags.items() if not option.positional}
    known |= {f.replace("--", "--no-", 1) for f, option in flags.items() if option.kind is bool}
    places = [option.name for option in options.values() if option.positional]
    typed: list[str] = []
    first: dict[str, str] = {}  # places that were typed as the flags that they were
    config, flag, left = None, "", list(words)
    while left:
        word = left.pop(0)
        if not word.strip():
            raise InputError(f"{flag or command.prog} {word!r}: is empty; give a value")
        if not word.startswith("--") or word == "--":
            change = command.renamed_values.get(flag[2:].replace("-", "_"), {})
            typed.append(change.get(word, word))
            continue
        flag, equals, value = word.partition("=")
        if equals and not value.strip():
            raise InputError(f"{flag} {value!r}: is empty; give a value")
        if flag == "--config" and command.where is not None:
            file = Path(value or _following(flag, left, "a file, such as runs/x/run.json"))
            check_path(flag, file)
            config = saved.read(file)
            continue
        place = command.renamed.get(flag[2:])
        if place in places:
            first[place] = value or _following(flag, left, "a file or folder")
            continue
        flag = _new_flag(command, flag.replace("_", "-"))
        if flag not in known:
            near = difflib.get_close_matches(flag, sorted(known), 1)
            hint = f"did you mean {near[0]}? See" if near else "see"
            raise InputError(f"{flag}: no such option; {hint} {command.prog} --help")
        change = command.renamed_values.get(flag[2:].replace("-", "_"), {})
        typed.append(f"{flag}={change.get(value, value)}" if equals else flag)
    front = []
    for place in places if first else ():
        if place in first:
            front.append(first[place])
        elif options[place].count == 1 and typed and not typed[0].startswith("--"):
            front.append(typed.pop(0))
    return [*front, *typed], config


def _following(flag: str, left: list[str], what: str) -> str:
    """The word after a flag, taken from those that are left; InputError if there is none."""
    if not left:
        raise InputError(f"{flag}: needs {what}")
    if not left[0].strip():
        raise InputError(f"{flag} {left[0]!r}: is empty; give a value")
    return left.pop(0)


def _new_flag(command: Command, flag: str) -> str:
    """Today's name of a flag. InputError if the old one means something else elsewhere."""
    start = "--no-" if flag.startswith("--no-") else "--"
    name = flag[len(start) :].replace("-", "_")
    if name not in command.renamed:
        return flag
    new = start + command.renamed[name].replace("_", "-")
    if name in command.gone:
        raise InputError(f"{flag}: is called {new} now; see {command.prog} --help")
    return new


def _check_values(command: Command, typed: Sequence[str]) -> None:
    """InputError for the first flag whose values it does not take."""
    flags = by_flag(command.options)
    for n, word in enumerate(typed):
        flag, equals, value = word.partition("=")
        option = flags.get(flag)
        if option is None or option.positional:
            continue
        after = [*itertools.takewhile(lambda word: not word.startswith("--"), typed[n + 1 :])]
        if option.kind is bool:
            if equals:
                raise InputError(f"{word}: {flag} takes no value")
            continue
        values = [value] if equals else after[: option.count]
        if len(values) < (1 if equals or option.count is None else option.count):
            raise option.refusal(values)
        option.check_words(values)


def _read(command: Command, typed: Sequence[str], default: Any) -> Any:
    """tyro's reading of the words; its message becomes one line."""
    start = {} if default is None else {"default": default}
    screen = io.StringIO()
    try:
        with contextlib.redirect_stderr(screen), contextlib.redirect_stdout(screen):
            return tyro.cli(command.options, args=list(typed), prog=command.prog, **start)
    except SystemExit:
        raise InputError(_one_line(command, typed, screen.getvalue())) from None


def _one_line(command: Command, typed: Sequence[str], screen: str) -> str:
    """What was wrong, from tyro's message in a box."""
    text = " ".join(re.sub(r"[─│╭╮╰╯]|--{2,}", " ", screen).split())
    more = f"see {command.prog} --help"
    if found := re.search(r"Unrecognized options: (\S+)", text):
        return f"{found[1].rstrip(',')}: is one value too many; {more}"
    if text.startswith("Required options"):
        given = next((n for n, word in enumerate(typed) if word.startswith("--")), len(typed))
        missing = [o for o in options_of(command.options) if o.positional][given]
        return f"{missing.name.upper()} is missing; {more}"
    return f"{text}; {more}"


def _name(filename: str | bytes | int) -> str:
    """What an error calls a file."""
    return f"file {filename}" if isinstance(filename, int) else os.fsdecode(filename)


def _of_full_memory(error: BaseException | None) -> BaseException | None:
    """The error, or one that it followed, if the memory, or its limit, was too small; or None."""
    texts = ("RESOURCE_EXHAUSTED", "can't start new thread")
    while error is not None:
        if isinstance(error, TrainingError):  # one that is told already: of a full disk, say
            return None
        if isinstance(error, MemoryError) or any(text in str(error) for text in texts):
            return error
        error = error.__context__
    return None


def main(call: Callable[[], T]) -> T:
    """Run a command; what the user should read becomes one line and an exit status."""
    try:
        try:
            with printing():
                return call()
        except (MemoryError, RuntimeError) as error:
            full = _of_full_memory(error)
            if full is None:
                raise
            text = f"the memory is full ({reason(full)}); free some, or ask for less at once"
            raise TrainingError(text) from error
        except OSError as error:  # a full disk or a barred place, wherever it is noticed
            name = _name(error.filename or "the disk")
            if error.errno in BARRED and error.filename:
                text = f"{name}: {error.strerror}; name a place that you may use"
                raise InputError(text) from error
            if error.errno not in FULL:
                raise
            with writing(name):
                raise
    except (InputError, TrainingError, Skipped, Stopped) as message:
        print(
            f"{'' if isinstance(message, (Skipped, Stopped)) else 'error: '}{message}",
            file=sys.stderr,
        )
        sys.exit(exit_status(message))
