"""What a command prints for --help: its options in groups, with ranges, defaults and examples."""

import dataclasses
import shutil
import textwrap
from pathlib import Path
from typing import Any

from jaxdl.cli.options import Command, Option, options_of, texts_of

COLUMN = 24  # where the texts begin
SAVED = (
    "The options of an earlier run, from its run.json, are the defaults; those typed win. Where "
    "and how a run is done (--out, --mesh and the like) is not read from it."
)
_NAMES = {int: "N", float: "X", str: "TEXT", Path: "PATH", bool: ""}


def _values(option: Option) -> str:
    """What is typed after a flag: N, PATH ..., {a,b}."""
    one = "{" + ",".join(map(str, option.choices)) + "}" if option.choices else _NAMES[option.kind]
    if option.positional:
        one = option.name.removesuffix("s").upper()
    return f"{one} ..." if option.count is None else " ".join([one] * option.count)


def _signature(option: Option, default: Any) -> str:
    if option.positional:
        return _values(option)
    if option.kind is bool:
        return option.flag.replace("--", "--[no-]", 1) if default else option.flag
    return f"{option.flag} {_values(option)}"


def _default(option: Option, default: Any) -> str:
    if default is dataclasses.MISSING:
        return "" if option.positional else "required"
    if default is None or default == ():
        return ""
    if option.kind is bool:
        return "default: on" if default else ""
    values = default if isinstance(default, tuple) else (default,)
    words = " ".join(str(n) for v in values for n in (v if isinstance(v, tuple) else (v,)))
    return f"default: {words}"


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    options: dict[str, Any] = {"break_on_hyphens": False, "break_long_words": False}
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, **options)


def _entry(signature: str, text: str, width: int) -> list[str]:
    """What is typed, and its text beside or below it."""
    first, body = f"  {signature}", _wrapped(text, width, " " * COLUMN)
    if len(first) + 2 > COLUMN:
        return [first, *body]
    return [first + body[0][len(first) :], *body[1:]]


def help_text(command: Command, default: Any, width: int | None = None) -> str:
    """The screen.

    Args:
        command: whose options.
        default: the preset that was chosen; None for the options' own defaults.
        width: in columns; None for the terminal's, 60 to 120.
    """
    width = width or min(120, max(60, shutil.get_terminal_size((100, 24)).columns))
    options = {option.name: option for option in options_of(command.options)}
    texts = texts_of(command.options)
    positional = [_values(o) for o in options.values() if o.positional]
    lines = [" ".join(["usage:", command.prog, *positional, "[OPTIONS]"]), ""]
    lines += _wrapped(command.about, width, "")
    for heading, names in command.groups.items():
        lines += ["", heading]
        for name in names:
            option = options[name]
            own = option.default if default is None else option.value(default)
            notes = [] if option.range is None else [str(option.range)]
            notes += [note] if (note := _default(option, own)) else []
            text = f"{texts[name]} ({'; '.join(notes)})" if notes else texts[name]
            lines += _entry(_signature(option, own), text, width)
    if command.where is not None:
        lines += ["", "Saved options", *_entry("--config PATH", SAVED, width)]
    lines += ["", "Examples"]
    for typed, text in command.examples:
        lines += [f"  {typed}", *_wrapped(text, width, " " * 6)]
    return "\n".join(lines)
