"""Skip-gram blocks against pair-by-pair NumPy, sparse against dense, and the seed's puzzle."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.losses import full_softmax_loss
from jaxdl.models.word2vec import Tables, init_tables
from jaxdl.sampling import unigram_table
from jaxdl.skipgram import (
    Stream,
    keep_probability,
    step,
    subsample,
    summed_by_word,
    train_blocks,
)

V, D, W, L, K, T = 30, 6, 3, 8, 4, 16


def block(rng: np.random.Generator) -> dict[str, Any]:
    """Tokens with repeats, three sentences, a stretch without tokens, random reach."""
    sentences = np.repeat([0, 1, 2, -1], [7, 9, 4, 2]).astype(np.int32)
    assert len(sentences) == T + 2 * W
    return {
        "ids": rng.integers(0, V, T + 2 * W).astype(np.int32),
        "sentences": sentences,
        "reach": rng.integers(1, W + 1, T).astype(np.int32),
        "negatives": rng.integers(0, V, (T // L, K)).astype(np.int32),
    }


def tables_of(rng: np.random.Generator, dtype: Any = np.float64) -> Tables:
    return Tables(*(jnp.asarray(rng.normal(size=(V, D)), dtype) for _ in range(2)))


def pair_list(ids: np.ndarray, sentences: np.ndarray, reach: np.ndarray) -> list[tuple[int, int]]:
    """Positions (centre, context), one by one, as the definition says."""
    pairs = []
    for i in range(len(reach)):
        for j in range(len(ids)):
            near = 0 < abs(j - (i + W)) <= reach[i]
            if near and sentences[i + W] >= 0 and sentences[j] == sentences[i + W]:
                pairs.append((i, j))
    return pairs


def numpy_loss(tables: Tables, b: dict, orientation: str, masked: bool, each: float) -> Any:
    """Sum over pairs of softplus(-score) + each * sum over the group's negatives."""
    inputs, outputs = (np.asarray(a) for a in tables)
    positive = negative = 0.0
    for i, j in pair_list(b["ids"], b["sentences"], b["reach"]):
        centre, context = b["ids"][i + W], b["ids"][j]
        word, target = (centre, context) if orientation == "center" else (context, centre)
        positive += np.logaddexp(0, -inputs[word] @ outputs[target])
        for n in b["negatives"][i // L]:
            if not (masked and n == target):
                negative += each * np.logaddexp(0, inputs[word] @ outputs[n])
    return positive, negative


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("orientation", ["center", "context"])
def test_a_step_is_dense_sgd_on_the_pair_by_pair_loss(orientation: Any, masked: bool):
    """Loss by NumPy's loops; the update by `optax.sgd` over both whole tables, to 1e-6."""
    rng = np.random.default_rng(0)
    tables, b, rate, each = tables_of(rng), block(rng), 0.1, 0.7
    pairs = pair_list(b["ids"], b["sentences"], b["reach"])
    first = jnp.asarray([b["ids"][i + W] for i, _ in pairs])
    second = jnp.asarray([b["ids"][j] for _, j in pairs])
    shared = jnp.asarray([b["negatives"][i // L] for i, _ in pairs])

    def dense(tables):
        word, target = (first, second) if orientation == "center" else (second, first)
        x = tables.inputs[word]
        positive = jax.nn.softplus(-(x * tables.outputs[target]).sum(-1)).sum()
        against = jax.nn.softplus(jnp.einsum("pd,pkd->pk", x, tables.outputs[shared]))
        kept = (shared != target[:, None]) | (not masked)
        return positive + each * jnp.where(kept, against, 0.0).sum()

    optimizer = optax.sgd(rate)
    updates, _ = optimizer.update(jax.grad(dense)(tables), optimizer.init(tables))
    want: Any = optax.apply_updates(tables, updates)
    got, sums = step(
        tables,
        **jax.tree.map(jnp.asarray, b),
        rate=jnp.asarray(rate),
        window=W,
        each=each,
        orientation=orientation,
        masked=masked,
        cap=None,
    )
    positive, negative = numpy_loss(tables, b, orientation, masked, each)
    assert float(sums.positive) == pytest.approx(positive, rel=1e-9)
    assert float(sums.negative) == pytest.approx(negative, rel=1e-9)
    assert int(sums.pairs) == len(pairs)
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert float(jnp.abs(theirs - tables.inputs).max()) > 1e-3


def test_summed_by_word_adds_over_the_list():
    ids, values = jnp.asarray([3, 1, 3, 3, 7, 1]), jnp.asarray([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    np.testing.assert_array_equal(summed_by_word(ids, values), [13, 34, 13, 13, 16, 34])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("orientation", ["center", "context"])
def test_the_cap_scales_the_words_of_many_terms_alone(orientation: Any):
    """The number of terms by counting pairs, one by one; both tables."""
    rng = np.random.default_rng(1)
    tables, b, cap, each = tables_of(rng), block(rng), 12.0, 0.5
    b["ids"][::3] = 5
    options: Any = {"window": W, "each": each, "orientation": orientation, "masked": False}
    free, _ = step(
        tables, **jax.tree.map(jnp.asarray, b), rate=jnp.asarray(0.1), cap=None, **options
    )
    capped, _ = step(
        tables, **jax.tree.map(jnp.asarray, b), rate=jnp.asarray(0.1), cap=cap, **options
    )
    terms = np.zeros((2, V))
    for i, j in pair_list(b["ids"], b["sentences"], b["reach"]):
        centre, context = b["ids"][i + W], b["ids"][j]
        word, target = (centre, context) if orientation == "center" else (context, centre)
        terms[0, word] += 1 + each * K
        terms[1, target] += 1
        for n in b["negatives"][i // L]:
            terms[1, n] += each
    for side in (0, 1):
        moved, want = (np.asarray(t[side] - tables[side]) for t in (capped, free))
        scale = np.minimum(1.0, cap / np.maximum(terms[side], 1.0))
        assert (scale < 1).any()
        assert (scale[terms[side] > 0] == 1).any()
        np.testing.assert_allclose(moved, want * scale[:, None], atol=1e-12)


# --- whole streams ----------------------------------------------------------------------------


def zipf_stream(tokens: int, words: int, seed: int = 0) -> tuple[Stream, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = 1 / np.arange(1, words + 1)
    ids = rng.choice(words, tokens, p=p / p.sum()).astype(np.int32)
    sentences = (np.arange(tokens) // 17).astype(np.int32)
    counts = np.bincount(ids, minlength=words)
    return Stream(jnp.asarray(ids), jnp.asarray(sentences), jnp.asarray(tokens)), counts


def positive_loss(tables: Tables, stream: Stream, counts: np.ndarray, **options: Any) -> Any:
    """Over the whole stream, with a learning rate of 0: the tables stay as they are."""
    size = 64
    blocks = -(-stream.ids.shape[0] // size)
    zero = jnp.zeros(())
    copy = jax.tree.map(jnp.copy, tables)
    _, sums = train_blocks(
        *(copy, stream, unigram_table(counts), jax.random.key(0), jnp.asarray(0), zero, zero),
        **{"blocks": blocks, "size": size, "group": 16, "window": 5, **options},
    )
    return sums


def test_the_puzzle_both_orientations_have_the_same_positive_loss():
    """The seed asks which matrix should see which word. With a fixed symmetric window a word is
    its context's context: the pairs of a corpus are their own transpose, and the sums agree."""
    stream, counts = zipf_stream(1000, 50)
    rng = np.random.default_rng(0)
    tables = Tables(*(jnp.asarray(rng.normal(size=(50, 8)), jnp.float32) for _ in range(2)))
    fixed = [
        positive_loss(tables, stream, counts, shrink=False, orientation=o)
        for o in ("center", "context")
    ]
    assert float(fixed[0].positive) == pytest.approx(float(fixed[1].positive), rel=1e-5)
    assert int(fixed[0].pairs) == int(fixed[1].pairs)
    # The tables do differ: swapped, they give another sum.
    swapped = positive_loss(Tables(*tables[::-1]), stream, counts, shrink=False)
    assert float(swapped.positive) == pytest.approx(float(fixed[0].positive), rel=1e-5)
    # A window shrunk at random is symmetric in expectation alone.
    shrunk = [positive_loss(tables, stream, counts, orientation=o) for o in ("center", "context")]
    gap = abs(float(shrunk[0].positive) - float(shrunk[1].positive))
    assert 1e-5 * float(shrunk[0].positive) < gap < 0.05 * float(shrunk[0].positive)


@pytest.mark.usefixtures("x64")
def test_the_puzzle_both_orientations_have_the_same_full_softmax_loss():
    stream, _ = zipf_stream(300, 20)
    ids, sentences = np.asarray(stream.ids), np.asarray(stream.sentences)
    rng = np.random.default_rng(0)
    inputs, outputs = (jnp.asarray(rng.normal(size=(20, 4))) for _ in range(2))
    pairs = np.array(
        [
            (i, j)
            for i in range(300)
            for j in range(max(0, i - 5), min(300, i + 6))
            if i != j and sentences[i] == sentences[j]
        ]
    )
    centre, context = jnp.asarray(ids[pairs[:, 0]]), jnp.asarray(ids[pairs[:, 1]])
    losses = [
        float(full_softmax_loss(inputs[word], outputs, target).sum())
        for word, target in ((centre, context), (context, centre))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_blocks_resume_at_any_number():
    """Ten blocks at once equal four and then six: same keys, same rates, same bits."""
    stream, counts = zipf_stream(640, 50)
    table, key = unigram_table(counts), jax.random.key(3)
    rate, slope = jnp.asarray(0.05), jnp.asarray(0.001)
    options: Any = {"size": 64, "group": 16}

    def run(tables, first, blocks, rate):
        clone = jax.random.wrap_key_data(jax.random.key_data(key))
        arguments = tables, stream, table, clone, jnp.asarray(first), rate, slope
        return train_blocks(*arguments, blocks=blocks, **options)[0]

    start = init_tables(jax.random.key(0), 50, 8)
    straight = run(jax.tree.map(jnp.copy, start), 0, 10, rate)
    parts = run(run(start, 0, 4, rate), 4, 6, rate - 4 * slope)
    for a, b in zip(straight, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    assert float(jnp.abs(straight.outputs).max()) > 0


@pytest.mark.parametrize("size", [1024, 4096, 16384])
def test_large_blocks_stay_finite_at_the_usual_rate(size: int):
    stream, counts = zipf_stream(4 * 16384, 2000)
    tables = init_tables(jax.random.key(0), 2000, 32)
    blocks = 4 * 16384 // size
    table = unigram_table(counts)
    for epoch in range(3):
        tables, sums = train_blocks(
            *(tables, stream, table, jax.random.key(epoch), jnp.asarray(0)),
            *(jnp.asarray(0.025), jnp.zeros(())),
            blocks=blocks,
            size=size,
        )
        assert np.isfinite([float(s) for s in sums]).all()
    assert all(bool(jnp.isfinite(a).all()) for a in tables)
    assert max(float(jnp.abs(a).max()) for a in tables) < 20


def test_the_compiled_step_copies_no_table():
    """A table read or written twice in a step is copied by XLA, 56 MB a step at full size."""
    stream, counts = zipf_stream(4096, 3000)
    lowered = train_blocks.lower(
        *(init_tables(jax.random.key(0), 3000, 100), stream, unigram_table(counts)),
        *(jax.random.key(0), jnp.asarray(0), jnp.asarray(0.025), jnp.zeros(())),
        blocks=4,
    )
    text = lowered.compile().as_text() or ""
    body = text.split("ENTRY")[0]
    assert "f32[3000,100]" in body
    assert not re.findall(r"= f32\[3000,100\]\S* copy\(", body)


def test_subsample_keeps_order_sentences_and_the_chance():
    stream, counts = zipf_stream(20000, 100)
    keep = keep_probability(counts, 1e-3)
    ratio = 1e-3 * 20000 / counts[0]
    assert keep[0] == pytest.approx(np.sqrt(ratio) + ratio)
    out = subsample(jax.random.key(0), stream, jnp.asarray(keep, jnp.float32))
    count = int(out.count)
    ids, sentences = (np.asarray(a)[:count] for a in (out.ids, out.sentences))
    assert (np.diff(sentences) >= 0).all()
    assert (np.asarray(out.sentences)[count:] == -1).all()
    # In order: what is left of each sentence is a subsequence of it.
    for s in (0, 5, 1176):
        left = iter(np.asarray(stream.ids)[np.asarray(stream.sentences) == s])
        assert all(any(word == other for other in left) for word in ids[sentences == s])
    found = np.bincount(ids, minlength=100)
    deviation = np.sqrt(counts * keep * (1 - keep))
    assert (np.abs(found - counts * keep) <= 6 * deviation + 1e-9).all()


def test_no_threshold_keeps_everything():
    stream, counts = zipf_stream(500, 20)
    keep = jnp.asarray(keep_probability(counts, 0.0), jnp.float32)
    out = subsample(jax.random.key(0), stream, keep)
    np.testing.assert_array_equal(out.ids, stream.ids)
    assert int(out.count) == 500
