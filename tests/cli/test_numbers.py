"""Every number of every command: its range is the judge, and what cannot fit is refused."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxdl.__main__ import commands, main
from jaxdl.cli.command import parse
from jaxdl.cli.options import MOST, Option, Range, options_of
from jaxdl.devices import memory
from jaxdl.errors import InputError
from jaxdl.fcn import command as fcn
from jaxdl.fcn import setup as fcn_setup
from jaxdl.lstm import command as lstm
from jaxdl.lstm import dataset
from jaxdl.lstm import setup as lstm_setup
from jaxdl.word2vec import command as word2vec
from jaxdl.word2vec import setup as word2vec_setup

COMMANDS = commands()
EVERY = [(n, option) for n, command in COMMANDS.items() for option in options_of(command.options)]
FLAGS = [
    (name, option)
    for name, option in EVERY
    if not option.positional and option.name not in COMMANDS[name].renamed
]
NUMBERS = [
    (name, option) for name, option in FLAGS if option.kind in (int, float) and not option.choices
]
WORDS = (
    *("nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "1e999", "-1", "0", "1", "1.5", "-0.0"),
    *("2147483647", "2147483648", "4294967296", str(2**63), str(2**64), str(10**30), "9" * 5000),
    *("", " ", "none of them", "1,5", "0x10", "1e", "\N{SUPERSCRIPT TWO}"),
)


def test_every_number_has_a_range():
    """Of what --help does not show too: a plan takes what `train` takes."""
    assert len(NUMBERS) > 100
    assert not [(name, option.flag) for name, option in NUMBERS if option.range is None]


def inside(option: Option, word: str) -> bool:
    """Whether an option takes a word, by what it declares."""
    try:
        return option.kind(word) in (option.choices or option.range or ())
    except ValueError:
        return False


def words_of(option: Option) -> list[str]:
    """What is tried of an option: numbers at both ends and beyond, and what is no number."""
    if option.kind is bool or (option.range is None and not option.choices):
        return [] if option.kind is bool else ["", " "]
    words = list(WORDS)
    if option.range is not None:
        low, high, step = option.range.low, option.range.high, option.range.multiple
        step = step if option.kind is int else 1e-3
        words += [str(low), str(low - step), str(low + step), str(high), str(high + step)]
    return words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_value_outside_is_one_line(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for variable in ("TF_CPP_MIN_LOG_LEVEL", "JAX_PLATFORMS"):
        monkeypatch.setenv(variable, "cpu" if variable == "JAX_PLATFORMS" else "3")
    for option in (option for own, option in FLAGS if own == name):
        for n, word in enumerate(words_of(option)):
            if inside(option, word):
                option.check_words([word])
                continue
            # A plan takes the very options of `train`, where all is tried.
            forms = [[f"{option.flag}={word}"], [option.flag] + [word] * (option.count or 1)]
            for words in forms[n % 2 :: 2] if len(option.path) == 1 else forms[1 + n % 5 :]:
                status = None
                try:
                    status = main([*name.split(), *words])
                except SystemExit as left:
                    status = left.code
                shown = capsys.readouterr()
                assert status == 2, (words, shown)
                assert shown.err.startswith(f"error: {option.flag}"), shown
                assert shown.err.count("\n") == 1
                if option.range is not None and word.strip():
                    assert str(option.range) in shown.err
                assert not shown.out


@pytest.mark.parametrize("high", [False, True], ids=["low", "high"])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_ends_of_a_range_are_taken_whole(name: str, high: bool):
    """As typed: no seed loses its upper bits. All of a command's numbers at once."""
    ends = {}
    words = ["x" for option in options_of(COMMANDS[name].options) if option.positional]
    for option in (option for own, option in NUMBERS if own == name):
        assert option.range is not None
        step = option.range.multiple if option.kind is int else 1e-3
        ends[option] = option.range.low + step * option.range.above
        if high:
            whole = option.range.high // option.range.multiple * option.range.multiple
            ends[option] = option.range.high if option.kind is float else whole
        count = option.count or 1 + (option.name == "canvas")  # of compile-check: pairs
        words += [option.flag, *[f"{ends[option]}"] * count]
    config = parse(COMMANDS[name], words)
    for option, end in ends.items():
        found = option.value(config)
        while isinstance(found, tuple):
            found = found[-1]
        assert found == end, option.flag


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name, option in NUMBERS if option.count not in (None, 1)],
    ids=lambda part: getattr(part, "flag", part),
)
def test_another_number_of_values_is_refused(name: str, option: Option):
    assert option.count
    assert option.range is not None
    places = [o.name for o in options_of(COMMANDS[name].options) if o.positional]
    words = [*places, option.flag, *[str(option.range.low)] * option.count]
    with pytest.raises(InputError, match=f"{option.flag} .*: takes {option.count} values"):
        parse(COMMANDS[name], words[:-1])
    with pytest.raises(InputError, match="is one value too many"):
        parse(COMMANDS[name], [*words, str(option.range.low)])


CHECKS: dict[str, tuple[Any, Callable[[Any], object], Callable[[Any], object]]] = {
    "fcn": (fcn.PRESETS["demo"], fcn.check, fcn_setup.check_size),
    "lstm": (lstm.PRESETS["post"], lstm.check, lstm_setup.check_size),
    "word2vec": (word2vec.PRESETS["demo"], word2vec.check, word2vec_setup.check_size),
}


@pytest.mark.parametrize(("preset", "check", "check_size"), CHECKS.values(), ids=CHECKS)
def test_an_extreme_value_in_range_trains_or_is_one_line(
    preset: Any, check: Callable[[Any], object], check_size: Callable[[Any], object]
):
    check_size(preset)
    for option in options_of(type(preset)):
        if option.range is None or len(option.path) > 1:
            continue
        for end in (option.range.low, option.range.high):
            value = option.kind(end)
            several = (value,) * (option.count or 1)
            value = several if isinstance(option.default, tuple) else value
            cfg = dataclasses.replace(preset, **{option.name: value})
            with contextlib.suppress(InputError):
                check(cfg)
                check_size(cfg)


def tables(words: int) -> Callable[[Any], object]:
    return lambda cfg: word2vec_setup.check_size(cfg, words)


TOO_LARGE = {
    "fcn scenes": ("fcn", {"scenes": (MOST, 1)}, None),
    "fcn batch": ("fcn", {"batch_size": MOST}, None),
    "fcn dispatch": ("fcn", {"steps_per_dispatch": MOST}, None),
    "lstm batch": ("lstm", {"batch_size": MOST}, None),
    "lstm window": ("lstm", {"window": MOST}, None),
    "lstm log": ("lstm", {"log_every": MOST}, None),
    "lstm networks": ("lstm", {"seeds": 1_000_000, "hidden": (1000,)}, None),
    "lstm layers": ("lstm", {"layers": 32, "hidden": (100_000,)}, None),
    "lstm series": ("lstm", {"cycles": MOST}, dataset.open_series),
    "lstm horizon": ("lstm", {"horizon": (MOST, MOST)}, dataset.open_series),
    "word2vec shared": ("word2vec", {"shared_negatives": MOST}, None),
    "word2vec block": ("word2vec", {"block": MOST // 8 * 8}, None),
    "word2vec tables": ("word2vec", {"dim": 100_000}, tables(10_000_000)),
}


@pytest.mark.parametrize(("subject", "values", "check"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_cannot_fit_is_refused_with_the_estimate(
    subject: str, values: dict[str, Any], check: Callable[[Any], object] | None
):
    preset, _, own = CHECKS[subject]
    cfg = dataclasses.replace(preset, **values)
    with pytest.raises(InputError, match=r": at least [\d,]+ GB, where this machine has [\d,]+ GB"):
        (check or own)(cfg)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["fcn", "train", "--preset", "demo", "--scenes", "2147483647", "1"],
        [
            "word2vec",
            "train",
            "--preset",
            "demo",
            "--block",
            "1000000",
            "--group",
            "1",
            "--shared-negatives",
            "99999",
        ],
        ["lstm", "train", "--batch-size", "2147483647"],
        ["lstm", "predict", "run", "a.csv", "--horizon", "2147483647"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_command_refuses_it_before_any_work(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^2$"):
        main(words)
    assert re.fullmatch(r"error: .* GB of memory; .*\n", capsys.readouterr().err)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


PLANNED = {
    "fcn": (
        ["--width-divisor", "1", "--batch-size", "4", "--canvas", "256", "256"],
        lambda cfg: fcn_setup.check_size(dataclasses.replace(cfg, data=Path("x")), (256, 256)),
    ),
    "lstm": (["--hidden", "32", "--layers", "2", "--batch-size", "512"], lstm_setup.check_size),
    "word2vec": (["--vocabulary", "100000"], tables(100_000)),
}


@pytest.mark.slow
@pytest.mark.parametrize("subject", PLANNED)
def test_an_estimate_is_below_what_is_planned(
    subject: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """So that nothing is refused that would fit: the machine is given what the plan asks for."""
    words, check = PLANNED[subject]
    file = tmp_path / "plan.json"
    name = f"{subject} plan"
    planned = parse(COMMANDS[name], [*words, "--devices", "1", "--json", str(file)])
    main([*name.split(), *words, "--devices", "1", "--json", str(file)])
    total = json.loads(file.read_text())["rows"][0]["total"]
    monkeypatch.setattr(memory, "host_memory", lambda: int(total))
    check(planned.config)
    monkeypatch.setattr(memory, "host_memory", lambda: int(total / 100))
    with pytest.raises(InputError, match="at least"):
        check(planned.config)


def test_a_plan_of_arrays_too_long_is_one_line(capsys: pytest.CaptureFixture[str]):
    for words in ("lstm plan --window 2147483647", "word2vec plan --block 1000000 --group 1000000"):
        with pytest.raises(SystemExit, match=r"^2$"):
            main([*words.split(), "--devices", "1024"])
        assert "is too long for 32-bit numbers" in capsys.readouterr().err


def test_ranges_in_range():
    """A range whose ends are not in it would make the tests above say nothing."""
    for _, option in NUMBERS:
        assert option.range is not None
        assert option.range.low < option.range.high
        assert (option.range.low in option.range) != option.range.above
    assert 2**31 not in Range(0)
