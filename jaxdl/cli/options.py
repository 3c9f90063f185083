"""What the commands' options are: their ranges, groups and old names. No jax is imported here.

A command's options are the fields of a frozen dataclass. A field's type says what it takes
(`Literal` for choices), `Annotated[int, Range(1)]` its range, the text below it is its help.
"""

import ast
import dataclasses
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import tyro

from jaxdl.errors import InputError

MOST = 2**31 - 1  # the largest number that any option takes: an int32's


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """The numbers that an option takes, each of them where it takes several.

    Attributes:
        low: the smallest; excluded if `above`.
        high: the largest.
        above: leaves out `low` itself.
        multiple: of which a number must be a multiple.
    """

    low: float | int
    high: float | int = MOST
    above: bool = False
    multiple: int = 1

    def __contains__(self, value: float | int) -> bool:
        small = value <= self.low if self.above else value < self.low
        if not math.isfinite(value) or small or value > self.high:
            return False
        return self.multiple == 1 or value % self.multiple == 0

    def __str__(self) -> str:
        if self.high != MOST:
            bounds = f"{'above ' if self.above else ''}{self.low} to {self.high}"
        else:
            bounds = f"above {self.low}" if self.above else f"{self.low} or more"
        return bounds if self.multiple == 1 else f"a multiple of {self.multiple}, {bounds}"

    def told(self, value: float | int) -> str:
        """The range, for one who passed `value`: with the end that is not told otherwise."""
        return f"{self}, at most {MOST}" if value > self.high == MOST else str(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        path: the names of the fields that lead to it; the last is its own.
        kind: int, float, str, bool or `pathlib.Path`; of each value if there are several.
        default: its value if nothing is typed; `dataclasses.MISSING` if it must be given.
        choices: the values to choose from; empty if any will do.
        range: of the numbers; None if it takes none.
        count: how many values it takes; None for any number of them.
        texts: values that it takes besides, as they are typed: "None", "auto".
        positional: it has no flag.
    """

    path: tuple[str, ...]
    kind: type
    default: Any
    choices: tuple[Any, ...]
    range: Range | None
    count: int | None
    texts: tuple[str, ...]
    positional: bool

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def flag(self) -> str:
        return flag_of(self.name)

    def value(self, config: Any) -> Any:
        """Its value in a config."""
        for name in self.path:
            config = getattr(config, name)
        return config

    def refusal(self, words: Sequence[str]) -> InputError:
        """What to say of words that it does not take."""
        few = len(words) < (1 if self.count is None else self.count)
        if few and self.count not in (1, None):
            return InputError(
                f"{' '.join([self.flag, *words])}: takes {self.count} values, each {self.takes()}"
            )
        if few:
            return InputError(f"{self.flag}: needs {self.takes()}")
        return InputError(f"{' '.join([self.flag, *words])}: must be {self.takes()}")

    def check_words(self, words: Sequence[str]) -> None:
        """InputError unless each word is a value that it takes."""
        for word in words:
            if word in self.texts:
                continue
            try:
                value = self.kind(word)
            except ValueError:
                raise self.refusal(words) from None
            if self.choices and value not in self.choices:
                raise self.refusal(words)
            if self.range is not None and value not in self.range:
                raise InputError(
                    f"{' '.join([self.flag, *words])}: must be {self.range.told(value)}"
                )

    def takes(self) -> str:
        """What each of its values must be, in words."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        if self.range is not None:
            texts = "".join(f"{text} or " for text in self.texts if text != "None")
            return f"{texts}a {'whole ' if self.kind is int else ''}number, {self.range}"
        return "a file or folder" if self.kind is Path else "a text"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command's options and what its --help shows.

    Attributes:
        prog: as it is typed, such as "jaxdl fcn train".
        about: what it does, a sentence or two.
        options: a dataclass; its fields are the options. Nested ones are laid flat.
        groups: heading -> names of the options below it; others are taken, but not shown.
        examples: (command line, what it does).
        presets: name -> the defaults that `--preset name` chooses.
        renamed: old name -> new name. An old flag is taken as the new one, and so is an old name
            in the options that a run saved.
        gone: those old names whose flags are refused, as they mean something else elsewhere.
        renamed_values: name -> old value -> new value, likewise.
        where: names of the options that say where and how a run is done, not what it computes;
            `--config` does not read them. None if there is no `--config`.
        choose: the preset that the words ask for, if neither --preset nor --config does.
        pipes: names of the inputs that may be pipes; - is standard input.
    """

    prog: str
    about: str
    options: type
    groups: Mapping[str, Sequence[str]]
    examples: Sequence[tuple[str, str]]
    presets: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    gone: Sequence[str] = ()
    renamed_values: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    where: Sequence[str] | None = None
    choose: Callable[[Sequence[str]], str | None] = lambda words: None
    pipes: Sequence[str] = ()


def flag_of(name: str) -> str:
    """``--batch-size`` of ``batch_size``."""
    return "--" + name.replace("_", "-")


def _option(name: str, hint: Any, default: Any) -> Option:
    bounds, positional, choices, texts = None, False, (), ()
    count: int | None = 1
    while True:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is Annotated:
            hint, *notes = arguments
            bounds = next((note for note in notes if isinstance(note, Range)), bounds)
            positional |= tyro.conf.Positional in notes
        elif origin in (Union, types.UnionType):
            plain = [a for a in arguments if a is not type(None)]
            hint = plain[0]
            texts = sum((typing.get_args(other) for other in plain[1:]), ())
            texts += ("None",) * (len(plain) < len(arguments))
        elif origin is tuple:
            hint = arguments[0]
            own = None if arguments[-1] is Ellipsis else len(arguments)
            count = None if own is None or count is None else count * own
        elif origin is Literal:
            choices, hint = arguments, type(arguments[0])
        else:
            return Option((name,), hint, default, choices, bounds, count, texts, positional)


@cache
def by_flag(config: type) -> dict[str, Option]:
    """The options of a dataclass by their flags."""
    return {option.flag: option for option in options_of(config)}


@cache
def options_of(config: type) -> tuple[Option, ...]:
    """The options of a dataclass, in the order of its fields; those of nested ones in place."""
    found: list[Option] = []
    hints = typing.get_type_hints(config, include_extras=True)
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
        if dataclasses.is_dataclass(inner):
            assert field.default_factory is not dataclasses.MISSING
            given = field.default_factory()  # whose values may not be those of its class
            for option in options_of(inner):
                path, default = (field.name, *option.path), option.value(given)
                found.append(dataclasses.replace(option, path=path, default=default))
        else:
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            found.append(_option(field.name, hint, default))
    return tuple(found)


def texts_of(config: type) -> dict[str, str]:
    """The text of each option: what stands below its field."""
    found: dict[str, str] = {}
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(hints[field.name]):
            found |= texts_of(typing.cast(type, hints[field.name]))
    for owner in reversed([c for c in config.__mro__ if dataclasses.is_dataclass(c)]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for line, after in zip(tree.body, tree.body[1:], strict=False):
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
                continue
            name = line.target.id
            if dataclasses.is_dataclass(hints[name]) or not isinstance(after, ast.Expr):
                continue
            if isinstance(after.value, ast.Constant):
                found[name] = " ".join(str(after.value.value).split())
    return found


def numbers(value: Any) -> list[Any]:
    """The values of an option that takes several, or one, or none."""
    if isinstance(value, tuple):
        return [each for one in value for each in numbers(one)]
    return [] if value is None else [value]


def check_ranges(config: Any) -> None:
    """InputError, in one line, for the first option whose value is outside its range.

    Args:
        config: options that were read from a command line, a file or Python.
    """
    for option in options_of(type(config)):
        for value in numbers(option.value(config)):
            if isinstance(value, str) and value in option.texts:
                continue
            if option.range is not None and (isinstance(value, bool) or value not in option.range):
                shown = f"{value:g}" if isinstance(value, float) else value
                raise InputError(f"{option.flag} {shown}: must be {option.range.told(value)}")
            if option.choices and value not in option.choices:
                raise InputError(f"{option.flag} {value}: must be {option.takes()}")
