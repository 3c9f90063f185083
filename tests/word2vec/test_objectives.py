"""Every objective on a block: loss, gradients and number of terms against NumPy, pair by pair."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxdl.word2vec.full_softmax import full_softmax_loss
from jaxdl.word2vec.huffman import huffman_tree
from jaxdl.word2vec.model import Tables, pair_loss, pair_sums
from jaxdl.word2vec.objectives import (
    Block,
    Metrics,
    Objective,
    block_metrics,
    loss,
    rows,
    softmax_block_loss,
    terms,
)
from jaxdl.word2vec.step import whole_loss
from tests.helpers.word_blocks import (
    CBOW,
    FULL,
    HIERARCHICAL,
    SIZES,
    SKIP_GRAM,
    SPARSE,
    T,
    V,
    W,
    block,
    block_of,
    by_hand,
    name,
    pair_list,
    tables_of,
)

TREE = huffman_tree(np.random.default_rng(9).integers(0, 500, V))
EVERY = [*SPARSE, *FULL]


def found_rows(tables: Tables, laid: Block, objective: Objective) -> list[jax.Array]:
    """What `loss` and `sums` take."""
    if objective.loss == "full-softmax":
        cbow = objective.architecture == "cbow"
        return [tables.inputs[laid.outer if cbow else laid.inner], tables.outputs]
    read = rows(laid, objective, TREE)
    return [table[ids] for table, ids in zip(tables, read, strict=True)]


@partial(jax.jit, static_argnames="objective")
def evaluate(tables: Tables, laid: Block, objective: Objective) -> tuple[Any, Tables, Metrics, Any]:
    """Loss, gradients by both tables, the loss's parts, and each row's terms."""
    value, grads = jax.value_and_grad(whole_loss)(tables, laid, objective, TREE)
    counted = () if objective.loss == "full-softmax" else terms(laid, objective, TREE)
    inputs, outputs = found_rows(tables, laid, objective)
    parts = block_metrics(inputs, outputs, laid, objective, TREE)
    return value, grads, parts, counted


def test_the_test_block_holds_the_odd_cases():
    """Tokens of no, one and several pairs, pairs out of the block, negatives that are targets."""
    for objective in SKIP_GRAM:
        case = block(0)
        pairs = pair_list(case, objective)
        counts = np.bincount([i - W for i, _ in pairs], minlength=T)
        assert {0, 1} <= set(counts)
        assert counts.max() > 2
        assert min(j for _, j in pairs) < W
        assert max(j for _, j in pairs) >= W + T
        kept, masked = (
            by_hand(tables_of(0), case, o)
            for o in (SKIP_GRAM[0], SKIP_GRAM[1])  # center, center masked
        )
        assert kept.negative > masked.negative


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("objective", EVERY, ids=name)
def test_loss_gradients_and_terms_pair_by_pair(objective: Objective, seed: int):
    case, tables = block(seed), tables_of(seed)
    laid, want = block_of(case, objective), by_hand(tables, case, objective, TREE)
    value, grads, parts, counted = evaluate(tables, laid, objective)
    assert value.shape == ()
    assert float(value) == pytest.approx(want.positive + want.negative, rel=1e-12)
    for ours, theirs in zip(grads, want.grads, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
        assert np.abs(theirs).max() > 1e-3
    assert float(parts.positive) == pytest.approx(want.positive, rel=1e-12)
    assert float(parts.negative) == pytest.approx(want.negative, rel=1e-12)
    assert int(parts.count) == want.count
    if objective.loss != "full-softmax":
        assert_terms(laid, objective, counted, want.terms)


def assert_terms(laid: Block, objective: Objective, counted: Any, want: Any) -> None:
    for ids, each, theirs in zip(rows(laid, objective, TREE), counted, want, strict=True):
        assert ids.shape == each.shape
        ours = np.zeros(V)
        np.add.at(ours, np.asarray(ids), np.asarray(each))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
        assert len(np.unique(theirs)) > 3


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("objective", FULL, ids=name)
def test_the_full_softmax_s_gradient_by_finite_differences(objective: Objective):
    laid = block_of(block(2), objective)
    by_tables = jax.jit(lambda *t: whole_loss(Tables(*t), laid, objective, None))
    check_grads(by_tables, tables_of(2), order=1, modes=["rev"])


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("chunk", [7, 4096])
def test_the_block_softmax_is_the_full_softmax_of_the_listed_pairs(chunk: int):
    case, tables = block(2), tables_of(2)
    laid, pairs = block_of(case, FULL[0]), np.array(pair_list(case, FULL[0]))
    x, target = (jnp.asarray(case.tokens[pairs[:, k]]) for k in (0, 1))
    want = full_softmax_loss(tables.inputs[x], tables.outputs, target).sum()
    flat = tables.inputs[laid.inner.ravel()]
    got = jax.jit(softmax_block_loss, static_argnums=3)(flat, tables.outputs, laid, chunk)
    assert float(got) == pytest.approx(float(want), rel=1e-12)


# --- what ties them together ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("cbow", "skip_gram"),
    [
        (CBOW[0], SKIP_GRAM[2]),
        (CBOW[1], SKIP_GRAM[3]),
        (HIERARCHICAL[2], HIERARCHICAL[1]),
        (FULL[2], FULL[1]),
    ],
    ids=name,
)
def test_cbow_with_one_context_is_skip_gram_the_other_way(cbow: Objective, skip_gram: Objective):
    """Sentences of two words: the mean of one context is the context, and predicts the centre.

    Skip-gram's inner token is the context: the block holds both words of each sentence, so that the
    pairs are the same ones. All groups share their negatives.
    """
    case = block(4, (np.arange(T + 2 * W) + W % 2) // 2)
    case = case._replace(negatives=np.tile(case.negatives[:1], (T // SIZES["group"], 1)))
    assert np.bincount([i - W for i, _ in pair_list(case, cbow)], minlength=T).tolist() == [1] * T
    (a, grads, *_), (b, wanted, *_) = (
        evaluate(tables_of(4), block_of(case, o), o) for o in (cbow, skip_gram)
    )
    assert float(a) == pytest.approx(float(b), rel=1e-12)
    for ours, theirs in zip(grads, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("objective", HIERARCHICAL[1:], ids=name)
def test_a_path_s_padding_counts_for_nothing(objective: Objective):
    """Whatever its rows hold: the same loss, and no gradient."""
    case, tables = block(0), tables_of(0)
    laid = block_of(case, objective)
    inputs, nodes = found_rows(tables, laid, objective)
    cbow = objective.architecture == "cbow"
    signs = TREE.signs[laid.inner.ravel() if cbow else laid.tokens]
    padding = (signs == 0)[:, :, None]

    of = jax.jit(jax.value_and_grad(lambda nodes: loss(inputs, nodes, laid, objective, TREE)))
    (want, _), (got, grads) = of(nodes), of(jnp.where(padding, 1e6, nodes))
    assert float(got) == float(want)
    assert padding.any()
    assert not jnp.where(padding, grads, 0.0).any()
    assert grads.any()


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("objective", EVERY, ids=name)
def test_a_block_without_pairs_has_no_loss(objective: Objective):
    case, tables = block(0, np.full(T + 2 * W, -1)), tables_of(0)
    nothing = evaluate(tables, block_of(case, objective), objective)
    assert not any(bool(a.any()) for a in jax.tree.leaves(nothing))


def test_scores_of_any_size_give_finite_losses_and_gradients():
    inner = jnp.asarray([1e4, -1e4, 0.0])[None, :, None]
    outer, ones = jnp.ones((1, 2, 1)), jnp.ones((1, 3, 2))
    value, grads = jax.value_and_grad(pair_loss, argnums=(0, 1))(inner, outer, ones, 1)
    assert float(value) == pytest.approx(2e4 + 2 * np.log(2))
    np.testing.assert_allclose(grads[0][0, :, 0], [1.0, -1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(grads[1][0, :, 0], [1e4, 1e4], rtol=1e-6)
    np.testing.assert_allclose(pair_sums(inner, outer, ones, 1), [1e4 + np.log(2)] * 2)


@pytest.mark.slow
@pytest.mark.parametrize("objective", EVERY, ids=name)
def test_gradients_are_exact_products_and_no_scatter(objective: Objective):
    """Rows come gathered: a scatter in here would be one more pass; TF32 would be 1e-3 off."""
    case, tables = block(0), tables_of(0)
    laid = block_of(case, objective)
    found = found_rows(tables, laid, objective)
    grads = jax.grad(loss, argnums=(0, 1))
    text = str(jax.make_jaxpr(lambda x, y: grads(x, y, laid, objective, TREE))(*found))
    exact = text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)")
    assert text.count("dot_general[") == exact > 1
    # The full softmax alone picks its targets out of the whole table.
    assert ("scatter" in text) == (objective.loss == "full-softmax")


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("objective", HIERARCHICAL[:2], ids=name)
def test_hierarchical_loss_takes_every_target_once(objective: Objective):
    """Its windows of inputs reach over the borders of groups, and past the block's ends."""
    case, tables = block(5, np.zeros(T + 2 * W)), tables_of(5)
    value, *_ = evaluate(tables, block_of(case, objective), objective)
    want = by_hand(tables, case, objective, TREE).positive
    assert float(value) == pytest.approx(want, rel=1e-12)
