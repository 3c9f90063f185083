"""What is drawn and laid out once for all passes over the tables: tokens, reach, blocks, the cap;
and the puzzle of the 2016 posts, which of the two matrices should see which word."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from jaxdl.word2vec.blocks import Prepared, Stream, keep_probability, prepare, subsample
from jaxdl.word2vec.held_out import held_out_loss
from jaxdl.word2vec.huffman import huffman_tree
from jaxdl.word2vec.negative_sampling import unigram_table
from jaxdl.word2vec.objectives import Objective, rows
from tests.helpers.word_blocks import (
    SPARSE,
    V,
    W,
    by_hand,
    case_of,
    name,
    pair_list,
    stream_of,
    tables_of,
    zipf_ids,
)

TABLE = unigram_table(np.arange(1, V + 1))
TREE = huffman_tree(np.arange(1, V + 1))
SIZE = 16


def text(tokens: int, words: int = V, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ids, and sentences of 17 tokens."""
    return zipf_ids(tokens, words, seed), np.arange(tokens, dtype=np.int32) // 17


def drawn(key: int, tokens: int, shrink: Any, words: int = V, **options: Any) -> Stream:
    ids, sentences = (jnp.asarray(a) for a in text(tokens, words))
    options = {"window": W, **options}
    return subsample(jax.random.key(key), ids, sentences, jnp.ones(words), shrink=shrink, **options)


def laid(stream: Stream, objective: Objective, blocks: int, **options: Any) -> Prepared:
    first = jnp.asarray(options.pop("first", 0))
    options = {"size": SIZE, "cap": None, **options}
    tree = TREE if objective.loss == "hierarchical-softmax" else None
    key = jax.random.key(3)
    return prepare(stream, TABLE, tree, key, first, objective=objective, blocks=blocks, **options)


# --- which tokens, and how far they look ------------------------------------------------------


def test_keep_probability_is_word2vec_s():
    counts = np.array([10000, 100, 20, 3, 0])
    ratio = 1e-3 * counts.sum() / 10000
    keep = keep_probability(counts, 1e-3)
    assert keep[0] == pytest.approx(np.sqrt(ratio) + ratio)
    assert keep[0] < keep[1] <= 1
    assert keep[2:].tolist() == [1, 1, 1]
    assert keep_probability(counts, 0.0).tolist() == [1] * 5


def test_subsample_keeps_order_sentences_and_the_chance():
    ids, sentences = text(20000, 100)
    counts = np.bincount(ids, minlength=100)
    held_out = np.isin(sentences, [3, 5, 1000])
    keep = keep_probability(counts, 1e-3)
    stream = subsample(
        *(jax.random.key(0), jnp.asarray(ids), jnp.asarray(np.where(held_out, -1, sentences))),
        jnp.asarray(keep, jnp.float32),
        window=W,
    )
    count = int(stream.count)
    left, of = (np.asarray(a)[:count] for a in (stream.ids, stream.sentences))
    assert (np.asarray(stream.sentences)[count:] == -1).all()
    assert of.min() >= 0
    assert not np.isin(of, [3, 5, 1000]).any()
    # In order: what is left of the text is a subsequence of it.
    assert (np.diff(of) >= 0).all()
    for s in np.unique(of):
        there = iter(ids[sentences == s])
        assert all(any(word == other for other in there) for word in left[of == s])
    expected = np.bincount(ids[~held_out], minlength=100)
    found = np.bincount(left, minlength=100)
    deviation = np.sqrt(expected * keep * (1 - keep))
    assert (np.abs(found - expected * keep) <= 6 * deviation + 1e-4).all()
    assert found[0] < 0.7 * expected[0]


def test_no_threshold_keeps_everything_but_what_is_held_out():
    ids, sentences = text(500)
    sentences[sentences == 2] = -1
    stream = subsample(
        *(jax.random.key(0), jnp.asarray(ids), jnp.asarray(sentences), jnp.ones(V)), window=W
    )
    assert int(stream.count) == 500 - 17
    np.testing.assert_array_equal(stream.ids[:483], ids[sentences >= 0])
    np.testing.assert_array_equal(stream.sentences[:483], sentences[sentences >= 0])


def assert_uniform(values: np.ndarray, low: int, high: int) -> None:
    """Chi-square; that nothing else is drawn first."""
    assert values.min() == low
    assert values.max() == high
    found, each = np.bincount(values)[low:], len(values) / (high - low + 1)
    assert ((found - each) ** 2 / each).sum() < chi2.isf(1e-6, high - low)


@pytest.mark.slow
@pytest.mark.parametrize("window", [2, 5, 10])
def test_each_token_s_reach_is_uniform(window: int):
    reach = np.asarray(drawn(1, 1 << 17, "each", window=window).reach).astype(int)
    assert_uniform(reach, 1, window)
    # Neighbours are independent: pairs of them are uniform as well.
    pairs = reach.reshape(-1, 2) - 1
    assert_uniform(pairs[:, 0] * window + pairs[:, 1], 0, window**2 - 1)


def test_chainer_s_reach_is_one_for_each_block_and_less_than_the_window():
    reach = np.asarray(drawn(1, (1 << 15) - 3, "chainer", window=5, size=8).reach).astype(int)
    assert len(reach) == (1 << 15) - 3
    blocks = np.pad(reach, (0, 3), mode="edge").reshape(-1, 8)
    assert (blocks == blocks[:, :1]).all()
    assert_uniform(blocks[:, 0], 1, 4)


def test_a_fixed_reach_is_the_window():
    assert (np.asarray(drawn(1, 100, "fixed", window=7).reach) == 7).all()


# --- blocks -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("objective", [*SPARSE[:3:2], SPARSE[4]], ids=name)
def test_blocks_hold_the_text_s_pairs_once(objective: Objective):
    """Token by token, over both ends of the text: positions that do not exist give no pair."""
    rng = np.random.default_rng(0)
    ids, sentences = text(100)
    stream = stream_of(ids, sentences, rng.integers(1, W + 1, 100))
    stream = stream._replace(count=jnp.asarray(87))  # what follows is padding, whatever it holds
    prepared, later = (laid(stream, objective, blocks=5, first=n) for n in (0, 3))
    for run, number in itertools.product((prepared, later), range(5)):
        case = case_of(stream, run, number, SIZE, W)
        want = np.zeros((SIZE, SIZE + 2 * W), bool)
        for i, j in pair_list(case, objective):
            want[i - W, j] = True
        got = np.zeros_like(want)
        pairs = np.asarray(run.blocks.pairs[number])
        groups, group, extent = pairs.shape
        for g in range(groups):
            got[g * group : (g + 1) * group, g * group : g * group + extent] = pairs[g]
        np.testing.assert_array_equal(got, want)
        there = case.tokens >= 0
        np.testing.assert_array_equal(run.blocks.tokens[number][there], case.tokens[there])
    assert prepared.blocks.pairs[0].any()
    assert prepared.blocks.pairs[4].any()
    assert not prepared.blocks.pairs[4].all()
    assert not later.blocks.pairs[3:].any()
    # The same block, whatever the run it is in.
    for a, b in zip(jax.tree.leaves(prepared.blocks), jax.tree.leaves(later.blocks), strict=True):
        np.testing.assert_array_equal(a[3:], b[:2])
    assert all((np.asarray(soft) == 1).all() for soft in prepared.soft)  # without a cap
    negatives = np.asarray(prepared.blocks.negatives)
    assert len(np.unique(negatives.reshape(5, -1), axis=0)) == 5


@pytest.mark.slow
def test_prepare_compiles_once_for_every_dispatch_and_epoch():
    run: Any = prepare
    run.clear_cache()
    for epoch in range(2):
        stream = drawn(epoch, 640, "each")
        for first in (0, 4):
            laid(stream, SPARSE[0], blocks=4, first=first)
    assert run._cache_size() == 1


# --- the cap ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("objective", [*SPARSE[::3], SPARSE[4], SPARSE[8]], ids=name)
def test_the_cap_scales_exactly_the_words_of_many_terms(objective: Objective):
    """Each row by ``cap / terms`` of its word in its block, terms counted pair by pair."""
    ids, sentences = text(64)
    stream = stream_of(ids, sentences, np.random.default_rng(0).integers(1, W + 1, 64))
    cap = 12.0
    prepared = laid(stream, objective, blocks=4, cap=cap)
    seen: list[np.ndarray] = []
    for number in range(4):
        block = jax.tree.map(lambda a, n=number: a[n], prepared.blocks)
        case = case_of(stream, prepared, number, SIZE, W)
        terms = by_hand(tables_of(0), case, objective, TREE).terms
        read = rows(block, objective, TREE)
        for words, total, soft in zip(read, terms, prepared.soft, strict=True):
            want = np.minimum(1.0, cap / np.maximum(total, 1.0))[np.asarray(words)]
            # Halves and whole numbers are exact; CBOW's shares are rounded to 256ths.
            rounded = 1e-2 if objective.architecture == "cbow" else 1e-6
            np.testing.assert_allclose(soft[number], want, rtol=rounded)
            seen.append(want.ravel())
    assert (np.concatenate(seen) < 0.9).any()
    assert (np.concatenate(seen) == 1).any()


def mixed(word: int) -> int:
    return (word * 2654435761 % 2**32) >> 20


def counter(word: int, of: int) -> int:
    """Which number a word's terms are added to: its own, or one that rare words share.

    There are 8 of each for every row that a block reads, and 4,096 at most.
    """
    exact = min(4096, 8 * of)
    return word if word < exact else exact + mixed(word) % exact


ALIKE = [n for n in range(60000) if mixed(n) == mixed(5)]  # the first has its own all the same
NEAR = [n for n in range(4096, 60000) if mixed(n) == mixed(5) ^ 1]
LARGE = unigram_table(np.arange(1, 60001))


def capped(ids: Any, cap: float) -> tuple[Stream, Prepared]:
    stream, objective = stream_of(np.asarray(ids), np.zeros(48), W), SPARSE[0]
    key, options = jax.random.key(0), {"objective": objective, "blocks": 3, "size": SIZE}
    return stream, prepare(stream, LARGE, None, key, jnp.asarray(0), **options, cap=cap)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from([0, 8 * SIZE - 1, 8 * SIZE, 59999, *ALIKE[:4], *NEAR[:2]]),
        min_size=48,
        max_size=48,
    ),
    st.sampled_from([4.0, 20.0]),
)
def test_words_that_share_a_counter_are_scaled_by_no_less_than_its_sum(ids: list[int], cap: float):
    """Never above the scale of the word alone, nor below that of all its counter's words."""
    stream, prepared = capped(ids, cap)
    for number in range(3):
        case = case_of(stream, prepared, number, SIZE, W)
        # Words of 60,000, by numbers of their own.
        used, new = np.unique([*case.tokens, *case.negatives.ravel()], return_inverse=True)
        tokens, negatives = np.split(new, [len(case.tokens)])
        case = case._replace(tokens=tokens, negatives=negatives.reshape(case.negatives.shape))
        terms = by_hand(tables_of(0, len(used)), case, SPARSE[0]).terms
        block = jax.tree.map(lambda a, n=number: a[n], prepared.blocks)
        together = rows(block, SPARSE[0], None)
        for words, alone, soft in zip(together, terms, prepared.soft, strict=True):
            counters = np.array([counter(int(w), words.size) for w in used])
            shared = np.array([np.where(counters == c, alone, 0).sum() for c in counters])
            lowest, highest = (np.minimum(1, cap / np.maximum(1, n)) for n in (shared, alone))
            there = np.isin(words, used)  # the others are of positions outside the text
            at, scale = np.searchsorted(used, words[there]), np.asarray(soft[number])[there]
            assert (lowest[at] - 1e-6 <= scale).all()
            assert (scale <= highest[at] + 1e-6).all()


def test_rare_words_do_share_counters():
    """Two that take turns: each is softened by the terms of both; beside another, by its own."""
    common, rare, other = ALIKE[:3]
    assert common < 8 * SIZE <= rare
    beside = {n: capped(np.tile([rare, n], 24), 4.0)[1].soft[0] for n in (other, NEAR[0], common)}
    assert (beside[other] < beside[NEAR[0]]).all()
    np.testing.assert_array_equal(beside[common], beside[NEAR[0]])


# --- the puzzle -------------------------------------------------------------------------------


PUZZLE = {"window": W, "group": 8, "shared": 4}
ONLY_POSITIVE: dict[Any, Objective] = {
    o: Objective(orientation=o, negatives=0, **PUZZLE) for o in ("center", "context")
}


def by_definition(stream: Stream, log_p: np.ndarray, orientation: str, reach: Any = None) -> float:
    """Sum over (centre, context) of ``-log_p[input word, target word]``.

    With `reach` None a pair counts by its chance under a reach uniform in 1..W.
    """
    ids, sentences = np.asarray(stream.ids), np.asarray(stream.sentences)
    total = 0.0
    for centre in range(len(ids)):
        for context in range(max(0, centre - W), min(len(ids), centre + W + 1)):
            if context != centre and sentences[context] == sentences[centre]:
                far = abs(context - centre)
                chance = (W - far + 1) / W if reach is None else float(far <= reach)
                word, target = ids[[centre, context]]
                if orientation == "context":
                    word, target = target, word
                total -= chance * log_p[word, target]
    return total


def log_sigmoid(tables: Any) -> np.ndarray:
    inputs, outputs = (np.asarray(a, np.float64) for a in tables)
    return -np.logaddexp(0, -inputs @ outputs.T)


def log_softmax(tables: Any) -> np.ndarray:
    inputs, outputs = (np.asarray(a, np.float64) for a in tables)
    scores = inputs @ outputs.T
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def whole_text_loss(stream: Stream, objective: Objective) -> float:
    prepared = laid(stream, objective, blocks=-(-len(stream.ids) // SIZE))
    mean, count = held_out_loss(tables_of(7), prepared, None, objective)
    return mean * count


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["negative-sampling", "full-softmax"])
def test_the_puzzle_with_a_fixed_window_both_orientations_are_one(loss: Any):
    """The 2016 posts ask which matrix should see which word. With a fixed symmetric window a word
    is its context's context: the pairs of a text are their own transpose, and the sums agree."""
    stream = drawn(0, 400, "fixed")
    orientations: Any = ("center", "context")
    each = {o: Objective(loss=loss, orientation=o, negatives=0, **PUZZLE) for o in orientations}
    log_p = (log_sigmoid if loss == "negative-sampling" else log_softmax)(tables_of(7))
    # The tables do differ: it matters for one pair which word is in which.
    assert np.abs(log_p - log_p.T).max() > 1
    wants = [by_definition(stream, log_p, o, reach=W) for o in orientations]
    assert wants[0] == pytest.approx(wants[1], rel=1e-12)
    for orientation, want in zip(orientations, wants, strict=True):
        assert whole_text_loss(stream, each[orientation]) == pytest.approx(want, rel=1e-10)
    center, context = (laid(stream, each[o], blocks=25).blocks.pairs for o in orientations)
    np.testing.assert_array_equal(center, context)
    assert center.any()


@pytest.mark.slow
def test_the_puzzle_with_shrunk_windows_they_agree_in_expectation():
    """Within 5 standard errors over 40 draws, of each other and of the exact expectation."""
    want = by_definition(drawn(0, 400, "fixed"), log_sigmoid(tables_of(7)), "center")
    draws = np.array(
        [
            [whole_text_loss(drawn(key, 400, "each"), o) for o in ONLY_POSITIVE.values()]
            for key in range(40)
        ]
    )
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - want) < 5 * error).all()
    assert (error < 0.01 * want).all()
    gap = draws[:, 0] - draws[:, 1]
    assert abs(gap.mean()) < 5 * gap.std(ddof=1) / np.sqrt(len(draws))
    # Draw by draw they are not the same pairs, and not the same sum.
    assert (np.abs(gap) > 1e-5 * want).all()


@pytest.mark.slow
def test_a_block_full_of_one_word_does_not_overflow_its_count():
    """16,384 tokens of 20 * 2 pairs and 20 negatives each: more 256ths than an int32 holds."""
    size = 16384
    objective = Objective(window=20, negatives=20, group=64)
    zeros = jnp.zeros(size, jnp.int32)
    key = jax.random.key(0)
    keep = jnp.ones(1)
    stream = subsample(key, zeros, zeros, keep, window=20, shrink="fixed", size=size)
    table = unigram_table(np.array([size]))
    prepared = prepare(
        *(stream, table, None, jax.random.key(1), jnp.asarray(0)),
        objective=objective,
        blocks=1,
        size=size,
        cap=100.0,
    )
    for soft in prepared.soft:
        assert 0 < float(soft.min()) <= float(soft.max()) < 100 / size
