"""Blocks of tokens and word2vec's losses on them, pair by pair in NumPy."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdl.word2vec.blocks import Prepared, Stream
from jaxdl.word2vec.huffman import HuffmanTree
from jaxdl.word2vec.model import Tables, positive_pairs
from jaxdl.word2vec.objectives import Block, Objective, make_block

V, D, W, L, K, T = 30, 6, 3, 8, 4, 16
SIZES: dict[str, Any] = {"window": W, "group": L, "shared": K}

# Every objective: losses by architectures, orientations, and negatives masked or kept.
SKIP_GRAM = [
    Objective(orientation=orientation, masked=masked, negatives=2, **SIZES)
    for orientation in ("center", "context")
    for masked in (False, True)
]
CBOW = [Objective(architecture="cbow", masked=m, negatives=2, **SIZES) for m in (False, True)]
WAYS: tuple[dict[str, Any], ...] = (
    {"orientation": "center"},
    {"orientation": "context"},
    {"architecture": "cbow"},
)
HIERARCHICAL = [Objective(loss="hierarchical-softmax", **SIZES, **way) for way in WAYS]
FULL = [Objective(loss="full-softmax", **SIZES, **way) for way in WAYS]
SPARSE = [*SKIP_GRAM, *CBOW, *HIERARCHICAL]


def name(objective: Objective) -> str:
    """For the ids of parametrised tests."""
    cbow = objective.architecture == "cbow"
    masked = "-masked" if objective.masked else ""
    return f"{objective.loss}-{'cbow' if cbow else objective.orientation}{masked}"


class Case(NamedTuple):
    """T tokens with W more on each side, and the negatives of each group of L."""

    tokens: np.ndarray
    sentences: np.ndarray
    reach: np.ndarray
    negatives: np.ndarray


def block(seed: int, sentences: np.ndarray | None = None) -> Case:
    """Tokens with repeats, and, unless given, sentences of many lengths and one gap."""
    rng = np.random.default_rng(seed)
    if sentences is None:
        sentences = np.repeat([0, 1, 2, -1, 3, 4], [5, 1, 2, 2, 8, 4])
    tokens = rng.integers(0, V, T + 2 * W).astype(np.int32)
    negatives = rng.integers(0, V, (T // L, K)).astype(np.int32)
    # In each group a negative that is a target, and one drawn twice.
    negatives[:, 0] = tokens[W + 4 :: L][: T // L]
    negatives[:, 2] = negatives[:, 1]
    reach = rng.integers(1, W + 1, T + 2 * W)
    return Case(tokens, sentences.astype(np.int32), reach.astype(np.int32), negatives)


def tables_of(seed: int, words: int = V) -> Tables:
    """Normal numbers; float64 where that is enabled."""
    rng = np.random.default_rng(seed)
    return Tables(*(jnp.asarray(rng.normal(size=(words, D))) for _ in range(2)))


def pair_list(case: Case, objective: Objective) -> list[tuple[int, int]]:
    """Positions (input token, target token) of each pair as word2vec defines it.

    A centre reaches its contexts; the block's own T tokens are the inputs of skip-gram, and the
    centres of CBOW (whose pairs are then (centre, context)).
    """
    found = []
    for centre, (sentence, reach) in enumerate(zip(case.sentences, case.reach, strict=True)):
        for context in range(max(0, centre - reach), min(len(case.tokens), centre + reach + 1)):
            if context != centre and sentence >= 0 and case.sentences[context] == sentence:
                found.append((centre, context))
    if objective.architecture == "skip-gram" and objective.orientation == "context":
        found = [(context, centre) for centre, context in found]
    return [(i, j) for i, j in found if objective.window <= i < len(case.tokens) - objective.window]


def block_of(case: Case, objective: Objective) -> Block:
    """What the library makes of it."""
    cbow = objective.architecture == "cbow"
    pairs = positive_pairs(
        *(jnp.asarray(case.sentences), jnp.asarray(case.reach)),
        group=objective.group,
        window=objective.window,
        orientation="center" if cbow else objective.orientation,
    )
    return make_block(jnp.asarray(case.tokens), pairs, jnp.asarray(case.negatives), objective)


class ByHand(NamedTuple):
    """The loss in its parts, what it is over; by table: its gradient, each row's terms."""

    positive: float
    negative: float
    count: int
    grads: tuple[np.ndarray, np.ndarray]
    terms: tuple[np.ndarray, np.ndarray]


def by_hand(
    tables: Sequence[Any], case: Case, objective: Objective, tree: HuffmanTree | None = None
) -> ByHand:
    """One example after the other in float64, with the derivatives written out."""
    inputs, outputs = (np.asarray(a, np.float64) for a in tables)
    grad_in, grad_out = np.zeros_like(inputs), np.zeros_like(outputs)
    terms_in, terms_out = np.zeros(len(inputs)), np.zeros(len(outputs))
    parts, examples = {"positive": 0.0, "negative": 0.0}, _examples(case, objective)
    for words, target, negatives in examples:
        x, grad_x = inputs[words].mean(0), np.zeros(inputs.shape[1])
        if objective.loss == "full-softmax":
            scores = outputs @ x
            normaliser = np.logaddexp.reduce(scores)
            parts["positive"] += normaliser - scores[target]
            slope = np.exp(scores - normaliser) - (np.arange(len(outputs)) == target)
            grad_x = slope @ outputs
            grad_out += np.outer(slope, x)
        for row, sign, weight in _decisions(target, negatives, objective, tree):
            score, first = outputs[row] @ x, sign > 0 or objective.loss != "negative-sampling"
            parts["positive" if first else "negative"] += weight * np.logaddexp(0, -sign * score)
            slope = -sign * weight / (1 + np.exp(sign * score))
            grad_x += slope * outputs[row]
            grad_out[row] += slope * x
            terms_out[row] += weight
            np.add.at(terms_in, words, weight / len(words))
        np.add.at(grad_in, words, grad_x / len(words))
    grads, terms = (grad_in, grad_out), (terms_in, terms_out)
    return ByHand(**parts, count=len(examples), grads=grads, terms=terms)


def _examples(case, objective):
    """(words whose mean is the input, target word, negatives) of each."""
    contexts: dict[tuple, list[int]] = {}
    for i, j in pair_list(case, objective):
        contexts.setdefault((i,) if objective.architecture == "cbow" else (i, j), []).append(j)
    groups = {
        key: case.negatives[(key[0] - objective.window) // objective.group] for key in contexts
    }
    if objective.architecture == "cbow":
        return [(case.tokens[js], case.tokens[i], groups[i,]) for (i,), js in contexts.items()]
    return [(case.tokens[[i]], case.tokens[j], groups[i, j]) for i, j in contexts]


def _decisions(target, negatives, objective, tree):
    """(row of the output table, sign, weight) of each logistic term of an example."""
    if objective.loss == "hierarchical-softmax":
        nodes, signs = np.asarray(tree.nodes)[target], np.asarray(tree.signs)[target]
        return [(node, int(sign), 1.0) for node, sign in zip(nodes, signs, strict=True) if sign]
    if objective.loss == "full-softmax":
        return []
    each = objective.negatives / objective.shared
    kept = [n for n in negatives if not (objective.masked and n == target)]
    return [(target, 1, 1.0), *((n, -1, each) for n in kept)]


def stream_of(ids: np.ndarray, sentences: np.ndarray, reach: np.ndarray | int) -> Stream:
    """All of it tokens."""
    reach = np.broadcast_to(np.asarray(reach, np.uint8), len(ids))
    return Stream(
        jnp.asarray(ids, jnp.int32),
        jnp.asarray(sentences, jnp.int32),
        jnp.asarray(reach),
        jnp.asarray(len(ids), jnp.int32),
    )


def zipf_ids(tokens: int, words: int, seed: int = 0) -> np.ndarray:
    p = 1 / np.arange(1, words + 1)
    return np.random.default_rng(seed).choice(words, tokens, p=p / p.sum()).astype(np.int32)


def case_of(stream: Stream, prepared: Prepared, number: int, size: int, window: int) -> Case:
    """The tokens that block `number` of a run has by its definition; its own negatives."""
    ids, sentences, reach, count = (np.asarray(a) for a in stream)
    first = int(prepared.first) + number
    at = np.arange(first * size - window, (first + 1) * size + window)
    there = (at >= 0) & (at < count)
    at = np.where(there, at, 0)
    return Case(
        np.where(there, ids[at], -1),
        np.where(there, sentences[at], -1),
        reach[at].astype(np.int32),
        np.asarray(prepared.blocks.negatives)[number],
    )
