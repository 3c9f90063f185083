"""The planner beside hand-computed values, the compile check's figures, and compiled programs."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from moto.ec2.models.instance_types import INSTANCE_TYPES

from jaxdl.cli.command import parse
from jaxdl.devices.mesh import abstract_mesh
from jaxdl.errors import InputError
from jaxdl.fcn import command as fcn
from jaxdl.fcn.plan import fcn as fcn_step
from jaxdl.fcn.plan import fcn_loss
from jaxdl.lstm import command as lstm
from jaxdl.lstm.plan import lstm as lstm_step
from jaxdl.planner import plan
from jaxdl.planner.cards import CARDS, Dtype
from jaxdl.planner.choices import CompileCheck, Stride
from jaxdl.planner.jaxpr_cost import Exchange, size_of
from jaxdl.planner.plan import (
    HOP,
    MARGIN,
    Memory,
    Work,
    data_parallel,
    dense,
    exchange_seconds,
    rows,
)
from jaxdl.planner.steps import Step
from jaxdl.training.optimizers import momentum_sgd
from jaxdl.training.step import dense_step, start_state
from jaxdl.word2vec import command as word2vec
from jaxdl.word2vec.plan import word2vec as word_step
from tests.helpers import processes

README = (processes.ROOT / "benchmarks/gpu/README.md").read_text()
H100 = CARDS["h100"]
ONE = Work(
    items=2,
    unit="images",
    memory=Memory(parameters=800, optimizer=1600, gradients=800, activations=5000, inputs=90),
    flops=H100.float32,  # a second
    bytes=20_000,
    kernels=10,
    exchanges={},
)


def recorded(step: str) -> tuple[list[float], list[int], list[float]]:
    """The compile check's rows: peak GB, largest batch and roof ms, for six cards."""
    lines = re.findall(rf"^\| {step} \| (.*) \|$", README, re.MULTILINE)
    peak, batch, roof = ([float(n) for n in line.split(" | ")] for line in lines)
    return peak, [int(n) for n in batch], roof


def test_batch_statistics_are_traced_and_counted():
    """A model with batch normalisation needs no edit in the planner."""

    def loss(params, batch, stats):
        mean = 0.9 * stats["mean"] + 0.1 * batch.mean(0, keepdims=True)
        return jnp.square(params["w"] * batch - mean).mean(), (1.0, batch.sum(), {"mean": mean})

    optimizer = momentum_sgd()
    size, batch = jnp.zeros((1, 1000)), jnp.zeros((8, 1000))
    state = jax.eval_shape(lambda: start_state({"w": size}, optimizer, {"mean": size}))
    args = (state, jnp.float32(0), batch, jnp.float32(0))
    step = Step("normalised", dense_step(loss, optimizer, jnp.add), args, 8, "rows")
    memory = dense(step, jax.value_and_grad(loss, has_aux=True)).memory
    assert (memory.parameters, memory.gradients) == (8000, 4000)


@cache
def fcn_work(stride: Stride, dtype: Dtype, batch: int) -> Work:
    loss, _, _ = fcn_loss(stride, dtype)
    step = fcn_step(stride, "train", (512, 512), batch, dtype)
    return dense(step, jax.value_and_grad(loss, has_aux=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stride", "dtype", "most"),
    [(32, "float32", MARGIN), (8, "float32", MARGIN), (32, "bfloat16", 1.15)],
)
def test_memory_beside_the_compile_checks(stride: Stride, dtype: Dtype, most: float):
    """On an H100: at one image, and where the compiled program fills 85 % of the card."""
    peak, batch, _ = recorded(f"fcn{stride}s train {dtype}")
    single = fcn_work(stride, dtype, 1).memory.total
    assert 0.98 * single < peak[4] * 1e9 < most * single
    filled = fcn_work(stride, dtype, batch[4]).memory.total
    assert 0.94 * filled < 0.85 * H100.memory < 0.9 * MARGIN * filled


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_roof_beside_the_compile_checks(dtype: Dtype):
    _, _, roof = recorded(f"fcn32s train {dtype}")
    six = [CARDS[name] for name in CompileCheck().device]
    for card, want in zip(six, roof, strict=True):
        (row,) = rows(lambda n: fcn_work(32, dtype, 1), [1], card, dtype, card.network)
        # L4's compiled programs move more bytes than the others'.
        assert row.roof_s * 1e3 == pytest.approx(want, rel=0.12 if card.name == "l4" else 0.06)


@pytest.mark.slow
def test_exchanged_bytes_are_the_compile_checks():
    text = " ".join(README.split())
    (found,) = re.findall(r"one all-reduce of ([\d.]+) MB a step in float32 .*?, ([\d.]+) MB", text)
    dtypes: tuple[Dtype, ...] = ("float32", "bfloat16")
    for dtype, want in zip(dtypes, found, strict=True):
        work = data_parallel(fcn_work(32, dtype, 1), 8, 8, dtype=dtype, fsdp=False)
        assert work.exchanges["all-reduce"].bytes / 1e6 == pytest.approx(float(want), abs=0.06)
    # Their text names operand and result of an exchange: an eighth more, either way.
    (found,) = re.findall(r"([\d.]+) MB gathered and ([\d.]+) MB scattered for 16 blocks", text)
    mesh = abstract_mesh(8)
    exchanges = plan.word2vec(word_step(1024, mesh=mesh), 8).exchanges
    for kind, want in zip(("all-gather", "reduce-scatter"), found, strict=True):
        assert exchanges[kind].bytes * 9 / 8 / 1e6 == pytest.approx(float(want), abs=0.06)


@pytest.mark.slow
def test_kernels_are_a_third_of_the_compiled_launches_or_more():
    """benchmarks/gpu/README.md: 180 launches (fcn32s), 330 and 590 (word2vec), 680 (LSTM)."""
    words = [plan.word2vec(word_step(size), 1).kernels for size in (32, 1024)]
    epochs = plan.sweep(lstm_step(epochs=1), 4, 1).kernels
    mine = [fcn_work(32, "float32", 1).kernels, *words, epochs]
    for kernels, launches in zip(mine, (180, 330, 590, 680), strict=True):
        assert 1 < launches / kernels < 3


def test_an_exchange_by_hand():
    """800 MB over links of 100 GB/s and a network of 10 GB/s: hosts of 8."""
    whole = Exchange(800_000_000, 1)

    def seconds(kind: str, devices: int) -> float:
        return exchange_seconds(kind, whole, devices, 100e9, 10e9)

    assert seconds("all-reduce", 1) == 0
    assert seconds("all-gather", 2) == pytest.approx(0.004 + HOP)
    assert seconds("reduce-scatter", 8) == pytest.approx(0.007 + 3 * HOP)
    # Each device of two hosts gets half of its 100 MB from the other host.
    assert seconds("all-gather", 16) == pytest.approx(0.007 + 0.005 + 4 * HOP)
    assert seconds("all-reduce", 32) == pytest.approx(2 * (0.007 + 0.0075 + 5 * HOP))
    five = exchange_seconds("all-gather", Exchange(0, 5), 1024, 100e9, 10e9)
    assert five == pytest.approx(5 * 10 * HOP)


def test_nvlinks_join_64_gb200():
    """So 64 of them exchange nothing over the network, and 128 are two hosts."""
    gb200, whole = CARDS["gb200"], Exchange(800_000_000, 0)
    alone = exchange_seconds("all-gather", whole, 64, 100e9, 10e9, gb200.joined)
    assert alone == pytest.approx(0.008 * 63 / 64)
    two = exchange_seconds("all-gather", whole, 128, 100e9, 10e9, gb200.joined)
    assert two == pytest.approx(alone + 0.8 / 64 / 2 / 10)

    def work(n: int) -> Work:
        return data_parallel(ONE, n, n, dtype="float32", fsdp=False)

    found = rows(work, [8, 64, 128], gb200, "float32", gb200.network)
    assert [row.hosts for row in found] == [1, 1, 2]
    plan.check_devices([48, 128], gb200.joined)
    with pytest.raises(InputError, match=r"--devices 96: give up to 64, or a multiple of 64"):
        plan.check_devices([96], gb200.joined)


def test_a_card_of_the_same_chip_has_its_rates_by_its_units():
    """H200 is an H100 with other memory; GB200 a B200 with more units and a faster clock."""
    h100, h200, b200, gb200 = (CARDS[name] for name in ("h100", "h200", "b200", "gb200"))
    assert (h200.float32, h200.bfloat16) == (h100.float32, h100.bfloat16)
    assert (h200.memory / h100.memory, h200.bandwidth / h100.bandwidth) > (1.4, 1.4)
    more = gb200.multiprocessors * gb200.clock / b200.multiprocessors / b200.clock
    assert gb200.bfloat16 / b200.bfloat16 == pytest.approx(more, rel=0.05)
    assert gb200.float32 / b200.float32 == pytest.approx(more, rel=0.05)


def test_parameters_whole_and_split_by_hand():
    whole = data_parallel(ONE, 8, 16, dtype="float32", fsdp=False)
    assert (whole.items, whole.memory) == (16, ONE.memory)
    assert whole.exchanges == {"all-reduce": Exchange(800, 1)}
    half = data_parallel(ONE, 8, 16, dtype="bfloat16", fsdp=True)
    assert half.exchanges == {"all-gather": Exchange(800, 1), "reduce-scatter": Exchange(400, 1)}
    assert half.memory == Memory(
        parameters=100, optimizer=200, gathered=800, gradients=100, activations=5000, inputs=90
    )
    # Seven eighths of reading 800 + 800 + 1600 and writing 800 + 1600 are spared; 1600 more move.
    assert half.bytes == 20_000 - 7 * 5600 // 8 + 1600
    assert data_parallel(ONE, 1, 2, dtype="float32", fsdp=True).exchanges == {}


def test_efficiency_is_speed_beside_as_many_single_devices():
    def work(devices: int) -> Work:
        exchanges = {"all-gather": Exchange(int(8 / 7 * H100.link), 0)} if devices == 8 else {}
        return ONE._replace(items=2 * devices, exchanges=exchanges)

    one, eight = rows(work, [1, 8], H100, "float32", H100.network)
    assert (one.roof_s, one.step_s, one.per_s, one.efficiency) == (1, 1, 2, 1)
    assert eight.link_s == pytest.approx(1)  # as long as the step itself
    assert eight.efficiency == pytest.approx(0.5)
    assert rows(work, [8], H100, "float32", H100.network) == [eight]  # the single one is implied


@pytest.mark.parametrize(
    ("name", "host"), [("t4", "g4dn.metal"), ("a10g", "g5.48xlarge"), ("l4", "g6.48xlarge")]
)
def test_a_cards_network_is_an_eighth_of_its_hosts(name: str, host: str):
    """By AWS's own table, which moto carries."""
    about = INSTANCE_TYPES[host]
    (cards,) = about["GpuInfo"]["Gpus"]
    assert (cards["Name"].lower(), cards["Count"]) == (name, 8)
    gigabits = float(about["NetworkInfo"]["NetworkPerformance"].removesuffix(" Gigabit"))
    assert CARDS[name].network == pytest.approx(gigabits * 1e9 / 8 / 8, rel=0.01)


@pytest.fixture(scope="module")
def beside() -> dict[str, Any]:
    """Plans and compiled programs of `tests.helpers.planned`, in a process with 8 devices."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.helpers.planned"],
        cwd=processes.ROOT,
        env=processes.environment(processes.QUICK),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.slow
def test_arguments_are_those_of_the_compiled_programs(beside: dict[str, Any]):
    """Parameters, optimiser state and inputs of each of 8 devices."""
    for name, found in beside.items():
        planned, compiled = (found[side]["arguments"] for side in ("planned", "compiled"))
        assert planned == pytest.approx(compiled, rel=1e-4), name
    split, whole = (beside[name]["compiled"]["arguments"] for name in ("fsdp", "dense"))
    assert split < whole / 7.9


@pytest.mark.slow
def test_exchanges_are_those_of_the_compiled_programs(beside: dict[str, Any]):
    planned, compiled = (
        {name: found[side]["collectives"] for name, found in beside.items()}
        for side in ("planned", "compiled")
    )
    # The figures of loss and metrics ride with the gradients.
    more = compiled["dense"]["all-reduce"] - planned["dense"]["all-reduce"]
    assert 0 < more < 4096
    # Some activations are gathered as well, and some gradients come without an exchange for it.
    gathered = planned["fsdp"]["all-gather"]
    assert compiled["fsdp"]["all-gather"] < 1.1 * gathered
    if processes.HAS_OLDER:  # later ones gather the activations of so small an image
        assert gathered <= compiled["fsdp"]["all-gather"]
    assert compiled["fsdp"]["all-reduce"] < planned["fsdp"]["reduce-scatter"]
    words = planned["word2vec"]
    words["reduce-scatter"] //= 8  # a program's text names the result: a share
    assert words == compiled["word2vec"]


@pytest.mark.slow
def test_other_memory_is_of_the_compiled_programs_order(beside: dict[str, Any]):
    """A CPU's convolutions take room of their own; the compile check's figures are closer."""
    for name, found in beside.items():
        planned, compiled = (found[side]["temporary"] for side in ("planned", "compiled"))
        most = 1.1 if processes.HAS_OLDER or name != "fsdp" else 3  # nothing is gathered, see above
        assert 0.4 < planned / compiled < most, name


def told(module: Any, tmp_path: Path, *words: str) -> list[dict[str, Any]]:
    """The rows of a command."""
    path = tmp_path / "plan.json"
    module.plan(parse(module.PLAN, [*words, "--json", str(path)]))
    return json.loads(path.read_text())["rows"]


@pytest.mark.slow
def test_the_fcns_command_tells_what_it_assumes(tmp_path, capsys):
    words = (
        "--devices",
        "1",
        "8",
        "1024",
        "--card",
        "a100",
        "--batch-size",
        "2",
        "--width-divisor",
        "8",
    )
    found = told(fcn, tmp_path, *words)
    text = capsys.readouterr().out
    for part in ("1,024", "all-reduce", "NVLink 300 GB/s", "nothing overlaps", "each device: 2"):
        assert part in text
    assert [row["items"] for row in found] == [2, 16, 2048]
    assert [row["hosts"] for row in found] == [1, 1, 128]
    efficiency = [row["efficiency"] for row in found]
    assert efficiency == sorted(efficiency, reverse=True)
    assert len({row["total"] for row in found}) == 1


@pytest.mark.slow
def test_a_fixed_batch_is_divided(tmp_path):
    words = ("--strong", "--batch-size", "8", "--width-divisor", "8", "--devices", "1", "8", "16")
    found = told(fcn, tmp_path, *words)
    assert [row["items"] for row in found] == [8, 8, 8]
    inputs = [row["memory"]["inputs"] for row in found]
    assert inputs[0] > 7 * inputs[1]
    assert inputs[1] == inputs[2]  # an image each, void ones beyond the eighth


@pytest.mark.slow
def test_the_experiments_options_change_the_plan(tmp_path):
    plain = told(fcn, tmp_path, "--devices", "8", "--width-divisor", "8")[0]
    for words, part in ((("--bfloat16",), "activations"), (("--remat",), "activations")):
        other = told(fcn, tmp_path, "--devices", "8", "--width-divisor", "8", *words)[0]
        assert other["memory"][part] < plain["memory"][part]
    more = told(fcn, tmp_path, "--devices", "8", "--width-divisor", "8", "--accumulate", "2")[0]
    assert more["memory"]["optimizer"] > 1.9 * plain["memory"]["optimizer"]
    other = told(fcn, tmp_path, "--devices", "8", "--width-divisor", "8", "--fsdp")[0]
    assert set(other["exchanges"]) == {"all-gather", "reduce-scatter"}


@pytest.mark.slow
def test_nothing_is_allocated(tmp_path):
    """Tables of 8 TB, and no device of 8 here."""
    before = len(jax.live_arrays())
    words = ("--words", "1000000000", "--dim", "1000", "--devices", "8", "1024")
    eight, many = told(word2vec, tmp_path, *words)
    assert eight["memory"]["parameters"] == 1e9 * 1000 * 4 * 2 / 8
    assert many["memory"]["parameters"] == -(-(10**9) // 1024) * 1000 * 4 * 2
    assert len(jax.live_arrays()) - before < 10  # keys


@pytest.mark.slow
def test_words_exchange_rows_and_never_a_table(tmp_path):
    small, large = (
        told(word2vec, tmp_path, "--words", words, "--block", "32", "--devices", "8")[0]
        for words in ("1000", "1000000")
    )
    assert small["exchanges"] == large["exchanges"]
    # By hand: 400 blocks of 8 x 32 words; 16 words and 26 + 28 targets a group, of 100 floats.
    # The rows of 13 blocks are read once more, for the loss.
    rows_read = 256 // 16 * (16 + 16 + 10 + 28)
    scattered = {"bytes": 413 * rows_read * 400, "calls": 826}
    assert small["exchanges"]["reduce-scatter"] == scattered
    gathered = {"bytes": (400 * 404 + 13 * 4) * rows_read, "calls": 1626}
    assert small["exchanges"]["all-gather"] == gathered


def test_the_sweeps_networks_spread_and_only_the_loss_is_exchanged(tmp_path):
    one, eight, many = told(lstm, tmp_path, "--devices", "1", "8", "64")
    state = lstm_step().args[0]
    assert one["memory"]["parameters"] == 8 * size_of(state.params)
    assert eight["memory"]["parameters"] * 8 == one["memory"]["parameters"]
    assert eight["exchanges"] == {"all-reduce": {"bytes": 4, "calls": 1}}
    assert one["items"] == many["items"] == 32 * 10
    assert many["efficiency"] < one["efficiency"] / 64  # 32 devices have nothing to do


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        (
            fcn,
            ["--devices", "12"],
            "--devices 12: give up to 8, or a multiple of 8",
        ),
        (fcn, ["--devices", "2048"], "--devices 2048: must be 1 to 1024"),
        (
            fcn,
            ["--canvas", "500", "375"],
            "--canvas 500 375: must be a multiple of 32, 32 or more",
        ),
        (fcn, ["--network", "0"], "--network 0: must be above 0"),
        (word2vec, ["--preset", "chainer"], "--optimizer adam: moves whole"),
        (
            word2vec,
            ["--block", "20"],
            "--block 20: must be a multiple of --group",
        ),
        (lstm, ["--seeds", "0"], "--seeds 0: must be 1 to 1000000"),
    ],
)
def test_bad_options_are_one_line(module, words, said):
    with pytest.raises(InputError, match=re.escape(said)):
        module.plan(parse(module.PLAN, words))


@pytest.mark.slow
def test_the_command_as_its_user_types_it():
    done = processes.finish("jaxdl lstm plan", "--devices", "1", "8", fresh=True)
    assert done.returncode == 0, done.stderr
    assert "planned, not measured" in done.stdout
