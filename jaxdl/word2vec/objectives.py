"""word2vec's objectives on a block of tokens: which rows a block reads, and its loss on them.

Two architectures: skip-gram predicts each pair's outer token from the inner one, CBOW a centre
(inner) from the mean of its contexts (outer). Three losses: negative sampling, the hierarchical
softmax over a Huffman tree, and the full softmax that both approximate. Every loss is a sum, over a
block's pairs or, for CBOW, over the centres with at least one context; groups, inner and outer
tokens are those of `jaxdl.word2vec.model`.

CBOW's gradient is that of the mean: each context's is the hidden vector's over their number.
word2vec.c and gensim give every context the whole (Irsoy et al. 2021, "Corrected CBOW").

Source: Mikolov et al. 2013; word2vec.c; Morin and Bengio 2005 (hierarchical softmax).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl.word2vec.choices import Architecture, Loss, Orientation
from jaxdl.word2vec.full_softmax import full_softmax_loss, log_normaliser
from jaxdl.word2vec.huffman import HuffmanTree
from jaxdl.word2vec.model import EXACT, pair_loss, pair_sums, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is learnt from a block; hashable, a static argument of the compiled programs."""

    loss: Loss = "negative-sampling"
    architecture: Architecture = "skip-gram"
    orientation: Orientation = "context"
    """Of skip-gram; see `jaxdl.word2vec.model`."""
    window: int = 5
    """Farthest context, w."""
    group: int = 8
    """Inner tokens that share negatives, L."""
    shared: int = 14
    """Negatives drawn for a group, K; with L + 2w they make a product of 32 columns."""
    negatives: int = 5
    """k of the loss: a shared negative counts k / K for each pair."""
    masked: bool = False
    """Leave a negative out of the pairs whose target it is (word2vec.c); Chainer keeps it."""


class Block(NamedTuple):
    """T tokens with w more on each side, and what chance decided about them."""

    tokens: Int[Array, " t2w"]
    pairs: Bool[Array, "g l s"]
    negatives: Int[Array, "g k"]
    weights: Float[Array, "g l m"]  # of each score, targets first; m is 0 without negatives

    @property
    def window(self) -> int:
        """w, from the shape of `pairs`."""
        return (self.pairs.shape[2] - self.pairs.shape[1]) // 2

    @property
    def inner(self) -> Int[Array, "g l"]:
        """The T tokens, by group."""
        groups, group, _ = self.pairs.shape
        return self.tokens[self.window : self.window + groups * group].reshape(groups, group)

    @property
    def outer(self) -> Int[Array, "g s"]:
        """Each group's tokens with those around them."""
        return spread(self.tokens, self.pairs.shape[1], self.window)


def make_block(
    tokens: Int[Array, " t2w"],
    pairs: Bool[Array, "g l s"],
    negatives: Int[Array, "g k"],
    objective: Objective,
) -> Block:
    """A block, with the weights that follow from what chance decided."""
    block = Block(tokens, pairs, negatives, jnp.zeros((*pairs.shape[:2], 0)))
    if objective.loss != "negative-sampling":
        return block
    return block._replace(weights=_sampling_weights(block, objective))


class Metrics(NamedTuple):
    """What blocks add up to; `count` is of pairs (skip-gram) or of predicted centres (CBOW)."""

    positive: Float[Array, ""]  # of the losses without negatives: all of it
    negative: Float[Array, ""]
    count: Float[Array, ""]


def rows(
    block: Block, objective: Objective, tree: HuffmanTree | None
) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
    """Which rows of the input and output tables a block reads (not for the full softmax)."""
    cbow = objective.architecture == "cbow"
    inputs = block.outer if cbow else block.inner
    if objective.loss == "hierarchical-softmax":
        targets = block.inner.ravel() if cbow else block.tokens
        assert tree is not None
        return inputs, tree.nodes[targets]
    targets = block.inner if cbow else block.outer
    return inputs, jnp.concatenate([targets, block.negatives], axis=1)


def terms(
    block: Block, objective: Objective, tree: HuffmanTree | None
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """How many terms of the loss each of those rows is in, by weight; same shapes as `rows`."""
    pairs = block.pairs.astype(jnp.float32)
    counts = pairs.sum(2)
    cbow = objective.architecture == "cbow"
    if objective.loss == "hierarchical-softmax":
        assert tree is not None
        targets = block.inner.ravel() if cbow else block.tokens
        there = (tree.signs[targets] != 0).astype(jnp.float32)
        length = there.sum(1)
        if cbow:
            seen = (counts > 0).astype(jnp.float32)
            share = seen * length.reshape(counts.shape) / jnp.maximum(counts, 1)
            return jnp.einsum("gls,gl->gs", pairs, share), there * seen.ravel()[:, None]
        total = spread(length, pairs.shape[1], block.window)
        by_target = _by_outer(block.pairs).sum(1).astype(jnp.float32)
        return jnp.einsum("gls,gs->gl", pairs, total), there * by_target[:, None]
    by_input = block.weights.sum(2)
    if cbow:
        by_input = jnp.einsum("gls,gl->gs", pairs, by_input / jnp.maximum(counts, 1))
    return by_input, block.weights.sum(1)


def loss(
    inputs: Float[Array, "..."],
    outputs: Float[Array, "..."],
    block: Block,
    objective: Objective,
    tree: HuffmanTree | None,
) -> Float[Array, ""]:
    """The block's loss from its rows, gathered as `rows` says; differentiable in them.

    For the full softmax `outputs` is the whole output table (V, D) and `inputs` as ever.
    """
    hidden, there = _hidden(inputs, block, objective)
    if objective.loss == "negative-sampling":
        return pair_loss(hidden, outputs, block.weights, target_rows(block))
    flat = hidden.reshape(-1, hidden.shape[-1])
    if objective.loss == "full-softmax":
        if objective.architecture == "cbow":
            targets = jnp.where(there, block.inner, -1).ravel()
            return full_softmax_loss(flat, outputs, targets).sum()
        return softmax_block_loss(flat, outputs, block)
    assert tree is not None
    if objective.architecture == "cbow":
        signs = tree.signs[block.inner.ravel()]
        return _path_loss(flat[:, None, :], outputs, signs, there.reshape(-1, 1))
    return hierarchical_loss(flat, outputs, tree.signs[block.tokens], block.pairs)


def block_metrics(
    inputs: Float[Array, "..."],
    outputs: Float[Array, "..."],
    block: Block,
    objective: Objective,
    tree: HuffmanTree | None,
) -> Metrics:
    """The loss in its parts, and how many pairs or centres it is over."""
    hidden, there = _hidden(inputs, block, objective)
    seen = block.pairs if objective.architecture == "skip-gram" else there
    count = seen.sum(dtype=hidden.dtype)
    if objective.loss == "negative-sampling":
        return Metrics(*pair_sums(hidden, outputs, block.weights, target_rows(block)), count)
    return Metrics(loss(inputs, outputs, block, objective, tree), jnp.zeros(()), count)


def target_rows(block: Block) -> int:
    """How many outer rows of a group are targets; its negatives follow them."""
    return block.weights.shape[2] - block.negatives.shape[1]


def _sampling_weights(block, objective):
    """`weights` of `pair_loss`: targets first, then the group's negatives."""
    each = objective.negatives / objective.shared
    if objective.architecture == "cbow":
        group = block.pairs.shape[1]
        positive = block.pairs.any(2)[:, :, None] & jnp.eye(group, dtype=bool)[None]
        targets = block.inner
    else:
        positive, targets = block.pairs, block.outer
    positive = positive.astype(float)
    shape = (*positive.shape[:2], block.negatives.shape[1])
    against = jnp.broadcast_to(positive.sum(2)[:, :, None], shape)
    if objective.masked:
        same = (targets[:, :, None] == block.negatives[:, None, :]).astype(float)
        against = against - jnp.einsum("glm,gmk->glk", positive, same, precision=EXACT)
    return jnp.concatenate([positive, each * against], axis=2)


def _hidden(inputs, block, objective):
    """What meets the targets, (G, L, D), and which of them have any context."""
    there = block.pairs.any(2)
    if objective.architecture == "skip-gram":
        return inputs, there
    pairs = block.pairs.astype(inputs.dtype)
    mean = pairs / jnp.maximum(pairs.sum(2), 1)[:, :, None]
    return jnp.einsum("gls,gsd->gld", mean, inputs, precision=EXACT), there


def softmax_block_loss(
    inputs: Float[Array, "t d"], table: Float[Array, "v d"], block: Block, chunk: int = 4096
) -> Float[Array, ""]:
    """Skip-gram with the full softmax over the output table, summed over pairs.

    A pair's normaliser depends on its input token alone: one for each token, times its pairs.
    """
    pairs = block.pairs.astype(inputs.dtype)
    inner = inputs.reshape(*pairs.shape[:2], -1)
    score = jnp.einsum("gld,gsd->gls", inner, table[block.outer], precision=EXACT)
    normaliser = log_normaliser(inputs, table, chunk)
    return (pairs.sum(2).ravel() * normaliser).sum() - (pairs * score).sum()


def hierarchical_loss(
    inputs: Float[Array, "t d"],
    nodes: Float[Array, "t2w p d"],
    signs: Int[Array, "t2w p"],
    pairs: Bool[Array, "g l s"],
) -> Float[Array, ""]:
    """Skip-gram with the hierarchical softmax, summed over pairs and the nodes on their paths.

    Args:
        inputs: input rows of the inner tokens.
        nodes: rows of the inner nodes on the path (`jaxdl.word2vec.huffman`) of every token.
        signs: the turns there; 0 is padding.
        pairs: see `positive_pairs`.
    """
    # A product for each target, its path by its own window of inputs. One for each group would
    # score every path against all L inputs, about three times the work for the usual sizes.
    there = _by_outer(pairs)
    width = there.shape[1]
    padded = jnp.pad(inputs, ((width - 1, width - 1), (0, 0)))
    windows = jnp.stack([padded[k : k + len(there)] for k in range(width)], axis=1)
    return _path_loss(windows, nodes, signs, there)


def _path_loss(inputs, nodes, signs, there):
    """Sum of ``softplus(-sign * x . node)`` over each target's inputs that are there."""
    score = jnp.einsum("nkd,npd->nkp", inputs, nodes, precision=EXACT)
    each = jax.nn.softplus(-signs.astype(score.dtype)[:, None, :] * score)
    return jnp.where(there[:, :, None] & (signs != 0)[:, None, :], each, 0.0).sum()


def _by_outer(pairs: Bool[Array, "g l s"]) -> Bool[Array, "t2w o"]:
    """`pairs` by outer token: column k of token j is its pair with inner token ``j - 2w + k``."""
    group, extent = pairs.shape[1:]
    line = jnp.arange(group)[:, None]
    offsets = jnp.arange(extent - group + 1)[None, :]
    band = pairs[:, line, line + offsets].reshape(-1, offsets.shape[1])
    width, size = band.shape[1], len(band) + band.shape[1] - 1
    padded = jnp.pad(band, ((width - 1, width - 1), (0, 0)))
    return jnp.stack([padded[k : k + size, width - 1 - k] for k in range(width)], axis=1)
