"""Training on blocks: against NumPy pair by pair, sparse and dense; large blocks; resume."""

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdl.training.optimizers import momentum_sgd
from jaxdl.word2vec.blocks import Prepared, Stream, prepare
from jaxdl.word2vec.held_out import held_out_loss
from jaxdl.word2vec.huffman import huffman_tree
from jaxdl.word2vec.model import Tables, init_tables
from jaxdl.word2vec.negative_sampling import unigram_table
from jaxdl.word2vec.objectives import Objective, block_metrics, rows
from jaxdl.word2vec.step import (
    add_rows,
    gather,
    sparse_step,
    train_blocks,
    train_dense,
)
from tests.helpers.word_blocks import (
    CBOW,
    FULL,
    HIERARCHICAL,
    SKIP_GRAM,
    SPARSE,
    Case,
    T,
    V,
    W,
    block,
    block_of,
    by_hand,
    case_of,
    name,
    stream_of,
    tables_of,
    zipf_ids,
)

TREE = huffman_tree(np.random.default_rng(9).integers(0, 500, V))
SGD = optax.inject_hyperparams(optax.sgd)(learning_rate=0.0)


def text(tokens: int, words: int = V, reach: int = 5) -> Stream:
    """Zipf's words in sentences of 17, with reaches of all lengths up to `reach`."""
    far = np.random.default_rng(1).integers(1, reach + 1, tokens)
    return stream_of(zipf_ids(tokens, words), np.arange(tokens) // 17, far)


def laid(stream: Stream, objective: Objective, blocks: int, **options: Any) -> Prepared:
    words, first = options.pop("words", V), options.pop("first", 0)
    key = jax.random.key(options.pop("key", 3))
    tree = TREE if objective.loss == "hierarchical-softmax" else None
    table = unigram_table(np.bincount(np.asarray(stream.ids), minlength=words))
    options = {"size": T, "cap": None, **options}
    return prepare(
        *(stream, table, tree, key, jnp.asarray(first)),
        **{"objective": objective, "blocks": blocks, **options},
    )


def copy(tables: Any) -> Any:
    return jax.tree.map(jnp.copy, tables)


def numbers(*values: float) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(v, jnp.float32) for v in values)


# --- one step ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("objective", SPARSE, ids=name)
def test_a_step_is_dense_sgd_on_the_pair_by_pair_loss(objective: Objective):
    """The loss's parts by NumPy's loops; the update by `optax.sgd` over both whole tables."""
    case, tables, rate = block(0), tables_of(0), 0.1
    want = by_hand(tables, case, objective, TREE)
    optimizer = optax.sgd(rate)
    updates, _ = optimizer.update(
        Tables(*map(jnp.asarray, want.grads)), optimizer.init(tables), tables
    )
    dense: Any = optax.apply_updates(tables, updates)
    laid_out = block_of(case, objective)
    read = rows(laid_out, objective, TREE)
    whole = jnp.ones(read[0].shape), jnp.ones(read[1].shape)
    step = jax.jit(sparse_step, static_argnames="objective")
    got = step(tables, laid_out, read, whole, jnp.asarray(rate), TREE, objective=objective)
    added = block_metrics(*gather(tables, read), laid_out, objective, TREE)
    assert float(added.positive) == pytest.approx(want.positive, rel=1e-9)
    assert float(added.negative) == pytest.approx(want.negative, rel=1e-9)
    assert int(added.count) == want.count
    for ours, theirs, start in zip(got, dense, tables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
        assert float(jnp.abs(theirs - start).max()) > 1e-3


@pytest.mark.slow
def test_a_capped_step_moves_the_words_of_many_terms_less():
    """Each word's whole change is multiplied by ``cap / terms``; the others' by 1."""
    objective, cap, (rate, none) = SKIP_GRAM[3], 12.0, numbers(0.1, 0.0)
    stream = text(T, reach=W)
    capped = laid(stream, objective, 1, cap=cap)
    terms = by_hand(tables_of(0), case_of(stream, capped, 0, T, W), objective, TREE).terms
    start = tables_of(0)
    free, soft = (
        train_blocks(copy(start), p, TREE, rate, none, objective=objective)[0]
        for p in (laid(stream, objective, 1), capped)
    )
    for before, full, less, count in zip(start, free, soft, terms, strict=True):
        scale = np.minimum(1.0, cap / np.maximum(count, 1.0))
        assert (scale < 1).any()
        np.testing.assert_allclose(less - before, (full - before) * scale[:, None], atol=1e-4)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 6), min_size=12, max_size=12), st.integers(0, 2**32 - 1))
def test_rows_summed_first_are_the_rows_added_one_by_one(ids: list[int], seed: int):
    rng = np.random.default_rng(seed)
    table, change = rng.normal(size=(7, 3)), rng.normal(size=(12, 3))
    want = np.array(table)
    np.add.at(want, ids, change)
    for sum_first in (False, True):
        got = _add(*map(jnp.asarray, (table, ids, change)), sum_first=sum_first)
        np.testing.assert_allclose(got, want, atol=1e-5)


_add = jax.jit(add_rows, static_argnames="sum_first")


def scatters(text: str, shape: str) -> list[str]:
    """StableHLO scatters into an array of that shape, each with its attributes."""
    found = re.findall(r'"stablehlo\.scatter".*?\}\) : \(.*?\)', text, re.DOTALL)
    return [one for one in found if re.search(rf"\}}\) : \(tensor<{shape}>", one)]


@pytest.mark.slow
@pytest.mark.parametrize("objective", [SKIP_GRAM[0], CBOW[1], HIERARCHICAL[0]], ids=name)
def test_rows_summed_first_are_scattered_once_each(objective: Objective):
    """On a GPU repeated rows are slow to add: the program tells XLA that there are none."""
    arguments = init_tables(jax.random.key(0), V, 8), laid(text(64, reach=W), objective, 2), TREE
    for sum_first in (False, True):
        traced = train_blocks.trace(
            *(*arguments, *numbers(0.1, 0.0)), objective=objective, sum_first=sum_first
        )
        program = traced.lower(lowering_platforms=("cuda",)).as_text()  # needs no GPU
        found = scatters(program, f"{V}x8xf32")
        assert len(found) == 2  # one for each table
        assert all(f"unique_indices = {str(sum_first).lower()}" in one for one in found)
        assert all("stablehlo.add" in one for one in found)


# --- whole runs -------------------------------------------------------------------------------


def sgd_by_hand(
    start: Tables, cases: list[Case], objective: Objective, rate: float, slope: float
) -> list[np.ndarray]:
    tables = [np.asarray(a, np.float64) for a in start]
    for number, case in enumerate(cases):
        grads = by_hand(tables, case, objective, TREE).grads
        now = max(0.0, rate - slope * number)
        tables = [a - now * g for a, g in zip(tables, grads, strict=True)]
    return tables


RUN = [SKIP_GRAM[0], SKIP_GRAM[3], CBOW[1], *HIERARCHICAL[::2], *FULL[::2]]


@pytest.mark.slow
@pytest.mark.parametrize("objective", RUN, ids=name)
def test_runs_of_blocks_are_sgd_by_hand(objective: Objective):
    """Five blocks from the third, the last at a rate of 0; both ways of training."""
    stream, rate, slope = text(7 * T, reach=W), 0.05, 0.0125
    prepared, start = laid(stream, objective, 5, first=2), tables_of(3)
    cases = [case_of(stream, prepared, n, T, W) for n in range(5)]
    tables = sgd_by_hand(start, cases, objective, rate, slope)
    given: Any = prepared, TREE, *numbers(rate, slope)
    options: Any = {"objective": objective, "count_every": 3}
    results: dict[str, Any] = {}
    if objective.loss != "full-softmax":
        results["sparse"] = train_blocks(copy(start), *given, sum_first=True, **options)
    got, _, total = train_dense(copy(start), SGD.init(start), *given, optimizer=SGD, **options)
    results["dense"] = got, total
    for got, total in results.values():
        for ours, theirs, before in zip(got, tables, start, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)
            assert np.abs(theirs - np.asarray(before)).max() > 0.01
        # Every third block from the first, before any of them was trained on.
        counted = [by_hand(start, cases[n], objective, TREE) for n in (0, 3)]
        for part in ("positive", "negative", "count"):
            want = sum(getattr(one, part) for one in counted)
            assert float(getattr(total, part)) == pytest.approx(want, rel=1e-5)


ADAM = optax.inject_hyperparams(optax.adam)(learning_rate=0.0)
MOMENTUM = momentum_sgd(momentum=0.9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "optimizer", "rate"),
    [
        (SKIP_GRAM[0], ADAM, 0.02),
        (HIERARCHICAL[1], ADAM, 0.02),
        (FULL[0], MOMENTUM, 0.005),
    ],
    ids=lambda value: name(value) if isinstance(value, Objective) else "",
)
def test_optax_optimisers_lower_the_loss(objective: Objective, optimizer: Any, rate: float):
    """Of a text in which every sentence keeps to its own sixth of the vocabulary; on blocks that
    were not trained on."""
    stream = text(60 * T, reach=W)
    stream = stream._replace(ids=stream.ids % (V // 6) + stream.sentences % 6 * (V // 6))
    train, other = laid(stream, objective, 40), laid(stream, objective, 20, first=40)
    tables = init_tables(jax.random.key(0), V, 8)
    before = held_out_loss(tables, other, TREE, objective)[0]
    state = optimizer.init(tables)
    for _ in range(5):
        tables, state, sums = train_dense(
            *(tables, state, train, TREE, *numbers(rate, 0.0)),
            objective=objective,
            optimizer=optimizer,
        )
        assert np.isfinite(float(sums.positive))
    assert held_out_loss(tables, other, TREE, objective)[0] < 0.9 * before


# --- large blocks -----------------------------------------------------------------------------

WORDS, WIDTH, LONG = 6000, 16, 2 * 16384


def bursty(tokens: int) -> Stream:
    """Zipf's words, and a frequent, a rare and the rarest word some hundred times in a row."""
    stream = text(tokens, WORDS)
    ids, sentences = np.array(stream.ids), np.array(stream.sentences)
    for at, word in ((1000, 3), (9000, 3000), (20000, WORDS - 1), (30000, WORDS - 1)):
        ids[at : at + 700], sentences[at : at + 700] = word, sentences[at]
    return stream._replace(ids=jnp.asarray(ids), sentences=jnp.asarray(sentences))


def trained(stream: Stream, size: int, objective: Objective, cap: float | None) -> Tables:
    tables = init_tables(jax.random.key(0), WORDS, WIDTH)
    for epoch in range(3):
        options: Any = {"words": WORDS, "key": epoch, "size": size, "cap": cap}
        prepared = laid(stream, objective, LONG // size, **options)
        tables, sums = train_blocks(
            *(tables, prepared, None, *numbers(0.025, 0.0)), objective=objective, count_every=1
        )
        if cap is not None:
            assert np.isfinite([float(s) for s in sums]).all()
    return tables


def largest(tables: Tables) -> float:
    return max(float(jnp.abs(a).max()) for a in tables)


@pytest.mark.slow
@pytest.mark.parametrize("make", [partial(text, words=WORDS), bursty], ids=["zipf", "bursty"])
@pytest.mark.parametrize("size", [1024, 4096, 16384])
def test_large_blocks_stay_finite_at_the_usual_rate(size: int, make: Any):
    tables = trained(make(LONG), size, Objective(), cap=100.0)
    assert all(bool(jnp.isfinite(a).all()) for a in tables)
    assert largest(tables) < 10


@pytest.mark.slow
def test_large_blocks_diverge_without_the_cap():
    """The check above can fail."""
    assert not largest(trained(bursty(LONG), 16384, Objective(), cap=None)) < 1000


# --- the compiled programs --------------------------------------------------------------------


def copies(program: Any, shape: str) -> int:
    """Copies of an array of that shape, but for zeros, outside the entry, which is run once."""
    body = (program.compile().as_text() or "").split("ENTRY")[0]
    assert shape in body
    return len(re.findall(rf"= {re.escape(shape)}\S* copy\((?!%wrapped_broadcast)", body))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "sum_first"), [("skip-gram", False), ("skip-gram", True), ("cbow", False)]
)
def test_the_compiled_step_copies_no_table(architecture: Any, sum_first: bool):
    """A table read or written twice in a step is copied by XLA, 56 MB a step at full size."""
    objective = Objective(architecture=architecture)
    prepared = laid(text(4096, 3000), objective, 4, words=3000, size=1024, cap=100.0)
    tables = init_tables(jax.random.key(0), 3000, 100)
    program = train_blocks.lower(
        tables, prepared, None, *numbers(0.025, 0.0), objective=objective, sum_first=sum_first
    )
    assert copies(program, "f32[3000,100]") == 0


@pytest.mark.slow
def test_a_dense_step_copies_each_table_once():
    """The loop needs the old table until its new value is there, and the whole of it is new."""
    objective = Objective()
    prepared = laid(text(4096, 3000), objective, 4, words=3000, size=1024)
    tables = init_tables(jax.random.key(0), 3000, 100)
    program = train_dense.lower(
        *(tables, SGD.init(tables), prepared, None, *numbers(0.025, 0.0)),
        objective=objective,
        optimizer=SGD,
    )
    assert copies(program, "f32[3000,100]") <= 2


@pytest.mark.slow
def test_training_compiles_once_for_all_blocks_rates_and_epochs():
    objective, tables = SKIP_GRAM[0], init_tables(jax.random.key(0), V, 8)
    program: Any = train_blocks
    program.clear_cache()
    for epoch in range(2):
        for first in (0, 4):
            prepared = laid(text(128, reach=1 + epoch), objective, 4, first=first, key=epoch)
            rate, slope = numbers(0.025 / (1 + epoch + first), 1e-4 * (first + 1))
            tables, _ = program(tables, prepared, None, rate, slope, objective=objective)
    assert program._cache_size() == 1


@pytest.mark.slow
def test_runs_resume_at_any_block():
    """Ten blocks at once equal four and then six; the same bits where shapes are the same."""
    stream, objective, start = text(10 * T, reach=W), SKIP_GRAM[3], tables_of(0)
    rate, slope = 0.05, 0.001
    parts = [(0, 10), (0, 4), (4, 6)]
    laid_out = {p: laid(stream, objective, p[1], first=p[0], cap=9.0) for p in parts}
    whole, *halves = (jax.tree.leaves(laid_out[p][1:]) for p in parts)
    for a, *pair in zip(whole, *halves, strict=True):
        np.testing.assert_array_equal(a, np.concatenate(pair))
    assert float(laid_out[0, 10].soft[0].min()) < 1

    def run(tables, *parts):
        for first, blocks in parts:
            now = numbers(rate - first * slope, slope)
            tables, _ = train_blocks(
                *(tables, laid_out[first, blocks], None, *now), objective=objective
            )
        return tables

    straight = run(copy(start), (0, 10))
    in_parts = run(copy(start), (0, 4), (4, 6))
    # Stopped, written, read and gone on.
    stopped = [np.array(a) for a in run(copy(start), (0, 4))]
    resumed = run(Tables(*map(jnp.asarray, stopped)), (4, 6))
    for a, b, c, before in zip(straight, in_parts, resumed, stopped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_array_equal(b, c)
        assert (np.asarray(b) != before).any()


@pytest.mark.slow
@pytest.mark.parametrize("objective", [SKIP_GRAM[1], HIERARCHICAL[2], FULL[1]], ids=name)
def test_the_held_out_loss_is_float64_s(objective: Objective):
    """NumPy's loops on the float32 tables; a sum in float32 is off by more."""
    stream, tables = text(10 * T, reach=W), tables_of(1)
    prepared = laid(stream, objective, 10)
    cases = [case_of(stream, prepared, n, T, W) for n in range(10)]
    found = [by_hand(tables, case, objective, TREE) for case in cases]
    count = sum(one.count for one in found)
    want = sum(one.positive + one.negative for one in found) / count
    mean, over = held_out_loss(tables, prepared, TREE, objective)
    assert over == count > 100
    assert mean == pytest.approx(want, rel=1e-12)
    if objective is not SKIP_GRAM[1]:
        return
    *_, sums = train_dense(
        *(copy(tables), SGD.init(tables), prepared, TREE, *numbers(0.0, 0.0)),
        objective=objective,
        optimizer=SGD,
        count_every=1,
    )
    single = (float(sums.positive) + float(sums.negative)) / count
    assert 1e-10 < abs(single / want - 1) < 1e-5


@pytest.mark.slow
def test_no_pair_has_no_loss():
    stream = text(T, reach=W)._replace(count=jnp.asarray(0))
    assert held_out_loss(tables_of(0), laid(stream, FULL[0], 1), None, FULL[0]) == (0.0, 0)


def test_the_start_is_gensim_s():
    tables = init_tables(jax.random.key(0), 2000, 50)
    assert not tables.outputs.any()
    assert tables.inputs.shape == tables.outputs.shape == (2000, 50)
    assert 0.0199 < float(jnp.abs(tables.inputs).max()) <= 0.02
    assert abs(float(tables.inputs.mean())) < 2e-4
