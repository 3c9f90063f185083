"""Options of every command: what --help shows, what is refused, and under which names."""

import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest

from jaxdl.__main__ import commands, main
from jaxdl.cli.command import parse
from jaxdl.cli.completion import script
from jaxdl.cli.help import help_text
from jaxdl.cli.options import MOST, Command, Option, Range, check_ranges, options_of, texts_of
from jaxdl.errors import InputError
from jaxdl.fcn import command as fcn
from jaxdl.fcn.config import PRESETS, for_each_stage
from jaxdl.lstm import command as lstm
from jaxdl.word2vec import command as word2vec
from tests.helpers import processes

COMMANDS = commands()
HEAVY = (
    *("jax", "jaxlib", "flax", "optax", "orbax", "grain", "array_record", "tensorflow_datasets"),
    *("matplotlib", "pyarrow", "scipy", "sklearn", "PIL"),
)
# Those that a command takes beside its own: a plan takes what `train` takes.
SHOWN = [
    (name, option)
    for name, command in COMMANDS.items()
    for option in options_of(command.options)
    if option.name in {each for names in command.groups.values() for each in names}
]
FLAGS = [(name, option) for name, option in SHOWN if not option.positional]


def test_help_and_refusals_import_nothing_heavy():
    """One process prints them all; what it has imported then is all that any of them needs."""
    code = (
        "import json, sys\n"
        "from jaxdl.__main__ import main\n"
        "for words in [[], *json.loads(sys.argv[1])]:\n"
        "    try: main([*words, '--help'])\n"
        "    except SystemExit as left: assert not left.code, words\n"
        "main(['--completion', 'bash'])\n"
        "for subject in ('fcn', 'word2vec', 'lstm'):\n"  # no data; what only `check` refuses
        "    try: main([subject, 'train', *['--hidden', '2', '2'] * (subject == 'lstm')])\n"
        "    except SystemExit as left: assert left.code == 2, subject\n"
        "    else: raise AssertionError(subject)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    words = json.dumps([name.split() for name in COMMANDS])
    done = subprocess.run(
        [sys.executable, "-c", code, words], cwd=processes.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *refused, modules = done.stderr.splitlines()
    assert len(refused) == 3
    loaded = {module.split(".")[0] for module in modules.split()}
    assert "jaxdl" in loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_group_a_text_and_a_range(name: str):
    command = COMMANDS[name]
    options = {option.name: option for option in options_of(command.options)}
    shown = [each for names in command.groups.values() for each in names]
    assert len(set(shown)) == len(shown)
    assert set(shown) == set(options) or name.endswith((" plan", " check", " finetune"))
    texts = texts_of(command.options)
    for each in shown:
        option, text = options[each], texts[each]
        numeric = option.kind in (int, float) and not option.choices
        assert numeric == (option.range is not None), each
        assert text.endswith("."), each
        # A sentence with a subject, or the name of the thing.
        assert not re.match(r"(Of|With|If|Where|In|As|For)\b|--", text), each
    assert len(command.examples) == 2
    assert all(typed.startswith(command.prog) for typed, _ in command.examples)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("width", [80, 120])
def test_a_help_fits_its_screen_and_names_all_it_shows(name: str, width: int):
    command = COMMANDS[name]
    text = help_text(command, None, width)
    flags = [line for line in text.splitlines() if re.match(r"  (--|\{|[A-Z])|usage", line)]
    long = [line for line in text.splitlines() if len(line) > width]
    assert not [line for line in long if line not in flags]  # those of many choices may be
    for shown, option in FLAGS:
        if shown == name:
            assert re.search(rf"  --(\[no-\])?{option.flag[2:]}\b", text), option.flag
            assert option.range is None or str(option.range) in " ".join(text.split())
    for heading in command.groups:
        assert f"\n{heading}\n" in text
    for old in command.renamed:
        assert not re.search(rf"--{old.replace('_', '-')}(?![\w-])", text) or old in (
            o.name for o in options_of(command.options)
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_read(name: str):
    for typed, _ in COMMANDS[name].examples:
        words = typed.removeprefix(COMMANDS[name].prog).split()
        parse(COMMANDS[name], words)


@pytest.mark.parametrize(("name", "option"), FLAGS, ids=lambda part: getattr(part, "flag", part))
def test_a_flag_without_its_value_is_one_line(name: str, option: Option):
    if option.kind is not bool:
        with pytest.raises(InputError, match=f"{option.flag}: (needs|takes)"):
            parse(COMMANDS[name], [option.flag])
    elif option.kind is bool:
        with pytest.raises(InputError, match="takes no value"):
            parse(COMMANDS[name], [f"{option.flag}=yes"])


@pytest.mark.parametrize("module", [fcn, lstm, word2vec], ids=["fcn", "lstm", "word2vec"])
def test_what_python_builds_is_in_range_too(module: Any):
    """Presets are; and a value that no command line would pass is refused as one would be."""
    for preset in module.TRAIN.presets.values():
        check_ranges(preset)
    preset = next(iter(module.TRAIN.presets.values()))
    for field, value in (("seed", -1), ("seed", MOST + 1), ("momentum", math.nan)):
        with pytest.raises(InputError, match=f"--{field} {value}: must be 0 "):
            check_ranges(dataclasses.replace(preset, **{field: value}))


def test_a_range_says_what_it_takes():
    assert str(Range(1)) == "1 or more"
    assert str(Range(0, above=True)) == "above 0"
    assert str(Range(0, 100)) == "0 to 100"
    assert str(Range(32, multiple=32)) == "a multiple of 32, 32 or more"
    assert MOST in Range(1)
    assert not [value for value in (0, MOST + 1, math.nan, math.inf) if value in Range(1)]
    assert 0 not in Range(0, above=True)
    assert 48 not in Range(32, multiple=32)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Options of a form that no command has alone."""

    sizes: Annotated[tuple[tuple[int, int], ...], Range(1)] = ((1, 2),)
    """Sizes."""


def test_nested_values_are_checked_one_by_one():
    command = Command(prog="x", about="", options=Pairs, groups={}, examples=())
    assert parse(command, ["--sizes", "3", "4", "5", "6"]).sizes == ((3, 4), (5, 6))
    with pytest.raises(InputError, match="--sizes 3 0: must be 1 or more"):
        parse(command, ["--sizes", "3", "0"])


OLD = {
    "fcn voc": ("fcn train", ["--voc", "a"], "data", Path("a")),
    "fcn rates": ("fcn train", ["--learning-rates", "1", "2", "3"], "learning_rate", (1, 2, 3)),
    "fcn updates": ("fcn train", ["--updates=4"], "steps_per_dispatch", 4),
    "fcn split": ("fcn train", ["--split", "seed"], "split", "random-4-to-1"),
    "fcn split=": ("fcn train", ["--split=seed"], "split", "random-4-to-1"),
    "word2vec corpus": ("word2vec train", ["--corpus", "a", "b"], "data", (Path("a"), Path("b"))),
    "word2vec rows": ("word2vec train", ["--rows", "3"], "logs_per_epoch", 3),
    "word2vec ahead": ("word2vec train", ["--no-ahead"], "prefetch_process", False),
    "word2vec rate": ("word2vec train", ["--last_rate", "1e-3"], "end_learning_rate", 1e-3),
    "lstm csv": ("lstm train", ["--csv", "a.csv"], "data", Path("a.csv")),
    "lstm batch": ("lstm train", ["--batch", "8"], "batch_size", 8),
    "lstm predict": (
        "lstm predict",
        ["--way", "window", "--checkpoint", "run", "--input", "a.csv"],
        "input",
        Path("a.csv"),
    ),
    "lstm predict, half": ("lstm predict", ["run", "--data", "a.csv"], "input", Path("a.csv")),
    "fcn predict": ("fcn predict", ["a.png", "b.png", "--checkpoint", "run"], "run", Path("run")),
}


@pytest.mark.parametrize(("name", "words", "field", "value"), OLD.values(), ids=OLD)
def test_an_old_flag_is_taken_as_the_new_one(name: str, words: list[str], field: str, value: Any):
    assert getattr(parse(COMMANDS[name], words), field) == value


@pytest.mark.parametrize(
    ("name", "flag", "new"),
    [
        ("fcn train", "--width", "--width-divisor"),
        ("word2vec train", "--width", "--dim"),
        ("lstm train", "--epochs", "--steps"),
        ("lstm train", "--every", "--log-every"),
    ],
)
def test_an_old_flag_of_another_meaning_names_the_new(name: str, flag: str, new: str):
    with pytest.raises(InputError, match=f"^{flag}: is called {new} now; see jaxdl {name} --help$"):
        parse(COMMANDS[name], [flag, "8"])


def test_an_unknown_option_is_told_the_nearest():
    with pytest.raises(InputError, match="--lerning-rate: no such option; did you mean --learning"):
        parse(lstm.TRAIN, ["--lerning-rate", "1"])
    with pytest.raises(InputError, match=r"^7: is one value too many"):
        parse(lstm.TRAIN, ["--resume", "7"])
    with pytest.raises(InputError, match=r"^RUN is missing"):
        parse(lstm.PREDICT, [])


def test_one_value_means_all_stages():
    cfg = for_each_stage(parse(fcn.TRAIN, ["--epochs", "4", "--stages", "16", "8"]))
    assert (cfg.epochs, cfg.learning_rate) == ((4, 4), (1e-4, 1e-4))
    cfg = for_each_stage(parse(fcn.TRAIN, ["--learning-rate", "3", "2", "1"]))
    assert (cfg.epochs, cfg.learning_rate) == ((60, 60, 60), (3, 2, 1))
    with pytest.raises(InputError, match="--epochs 1 2: give one value, or 3, one for each"):
        for_each_stage(parse(fcn.TRAIN, ["--epochs", "1", "2"]))


def saved(tmp_path: Path, config: dict[str, Any]) -> Path:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"experiment": "x", "config": config}))
    return path


def test_a_saved_config_is_read_back_and_what_is_typed_wins(tmp_path: Path):
    from jaxdl.cli.launch import as_dict

    typed = ["--preset", "demo", "--epochs", "3", "--out", "runs/a", "--mesh", "data=2", "--flip"]
    cfg = parse(fcn.TRAIN, typed)
    path = saved(tmp_path, as_dict(cfg))
    again = parse(fcn.TRAIN, ["--config", str(path), "--seed", "7"])
    # Where and how it is run is not the run's: a second one must not land in the first's folder.
    same = {"out": PRESETS["demo"].out, "devices": PRESETS["demo"].devices, "seed": 7}
    assert again == dataclasses.replace(cfg, **same)
    with pytest.raises(InputError, match="--preset and --config both choose"):
        parse(fcn.TRAIN, ["--config", str(path), "--preset", "voc"])


@pytest.mark.parametrize(
    ("command", "config", "fields"),
    [
        (
            fcn.TRAIN,
            {"preset": "demo", "voc": None, "width": 8, "split": "seed", "learning_rates": [0.1]},
            {"data": None, "width_divisor": 8, "split": "random-4-to-1", "learning_rate": (0.1,)},
        ),
        (
            word2vec.TRAIN,
            {"corpus": ["a.txt"], "width": 50, "cap": 9.0, "ahead": False},
            {"data": (Path("a.txt"),), "dim": 50, "max_terms": 9.0, "prefetch_process": True},
        ),
        (
            lstm.TRAIN,
            {"csv": "a.csv", "epochs": 30, "every": 3, "given": [9], "length": [4]},
            {"data": Path("a.csv"), "steps": 30, "log_every": 3, "context": (9,), "horizon": (4,)},
        ),
    ],
    ids=["fcn", "word2vec", "lstm"],
)
def test_a_config_of_an_older_release_is_read(
    command: Command, config: dict, fields: dict, tmp_path: Path
):
    found = parse(command, ["--config", str(saved(tmp_path, config))])
    assert {name: getattr(found, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"seed": "x"}, "--config: seed is 'x', and must be a whole number, 0 or more"),
        ({"seed": -1}, "--seed -1: must be 0 or more"),
        ({"seed": True}, "--config: seed is True"),
        ({"optimizer": "sgd"}, "--config: optimizer is 'sgd', and must be one of momentum, adam"),
        ({"power": 0.75}, "--config: jaxdl lstm train has no option power"),
        ({}, "holds no saved options"),
    ],
    ids=["text", "range", "bool", "choice", "another subject's", "nothing"],
)
def test_a_config_that_is_none_is_one_line(config: dict, said: str, tmp_path: Path):
    with pytest.raises(InputError, match=re.escape(said)):
        parse(lstm.TRAIN, ["--config", str(saved(tmp_path, config))])


def completed(*words: str) -> list[str]:
    """What bash offers after these words; the last is begun."""
    typed = " ".join(f"'{word}'" for word in ("jaxdl", *words))
    code = (
        f'eval "$(cat)"; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _jaxdl; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code],
        input=script(COMMANDS, "bash"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout.split()


def test_completion_knows_commands_options_and_choices():
    assert completed("f") == ["fcn"]
    assert completed("word2vec", "") == [
        *("train", "query", "evaluate", "export", "plan", "--help")
    ]
    assert "--learning-rate" in completed("lstm", "train", "--l")
    assert completed("fcn", "train", "--split", "r") == ["random", "random-4-to-1"]
    assert "--no-resume" in completed("digits", "--no")
    assert completed("fcn", "train", "--data", "") == []  # the shell's own: file names


def test_completion_is_for_shells_that_it_knows(capsys: pytest.CaptureFixture[str]):
    assert main(["--completion", "fish"]) == 2
    assert capsys.readouterr().err == (
        "error: --completion fish: give bash or zsh; see jaxdl --help\n"
    )
    assert main(["--completion", "zsh"]) == 0
    assert "bashcompinit" in capsys.readouterr().out


TYPED = re.compile(r"(?:python -m experiments\.|\bjaxdl )(\w[\w-]*)([^`\n|#()]*)")
SUBJECTS = {"lstm_sine": "lstm"}  # experiments of another name than their subject's


def test_the_pages_name_no_option_that_a_command_lacks():
    seen, wrong = 0, []
    for page in [*processes.ROOT.glob("*.md"), *processes.ROOT.glob("[!.]*/**/*.md")]:
        for subject, rest in TYPED.findall(page.read_text().replace("\\\n", " ")):
            first, *words = [SUBJECTS.get(subject, subject), *rest.split("  ")[0].split()]
            own = [name.split()[1] for name in COMMANDS if name.startswith(f"{first} ")]
            name = f"{first} {words[0] if words[:1] and words[0] in own else 'train'}".strip()
            command = COMMANDS.get(name if own else first)
            if command is None:
                continue
            known = {"--help", "--config"}
            for option in options_of(command.options):
                known |= {option.flag, option.flag.replace("--", "--no-", 1)}
            for old in set(command.renamed) - set(command.gone):
                known |= {f"--{old.replace('_', '-')}", f"--no-{old.replace('_', '-')}"}
            typed = {word.partition("=")[0] for word in words if word.startswith("--")}
            seen += len(typed)
            wrong += [(page.name, name, flag) for flag in typed - known]
    assert seen > 20
    assert not wrong
