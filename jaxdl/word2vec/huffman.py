"""A Huffman tree over the vocabulary, for the hierarchical softmax.

A word's probability is a product of decisions on its path from the root:
``p(word | x) = prod_i sigmoid(sign_i * x . node_i)``. Frequent words have short paths, so that an
example costs about log2 V scores, and fewer for usual text, instead of V.

Source: Mikolov et al. 2013; word2vec.c, ``CreateBinaryTree``.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxdl.errors import InputError


class HuffmanTree(NamedTuple):
    """Paths of V words through V - 1 inner nodes, the root first; P is the longest, at least 1.

    The root is node V - 2. Past a path's end the sign is 0 and the node 0, a row that exists in a
    table of V rows and whose score counts for nothing.
    """

    nodes: Int[Array, "v p"]  # int32
    signs: Int[Array, "v p"]  # int8: 1 for word2vec.c's code 0, -1 for its code 1


def huffman_tree(counts: Int[np.ndarray, " v"]) -> HuffmanTree:
    """The tree of least expected path length, built on the host; words in any order.

    Two queues, the sorted words and the inner nodes in the order of their making, make each merge
    constant work. Equal counts: the later word first, as in word2vec.c. Where a word equals an
    inner node the word goes first, which keeps the longest path, and with it the padding, short;
    word2vec.c takes the node, and V words of count 0 would make a path of V nodes.

    Args:
        counts: how often each word occurs; 0 is allowed.

    Raises:
        InputError: no word, or a negative count.
    """
    if not len(counts) or (counts < 0).any():
        raise InputError("a Huffman tree needs word counts, each 0 or more")
    words = len(counts)
    order = np.argsort(-counts.astype(np.int64), kind="stable")[::-1]
    up, turn = _merge(counts[order].tolist())
    depth = [0] * (2 * words - 1)
    for at in range(2 * words - 3, -1, -1):
        depth[at] = depth[up[at]] + 1
    lengths = np.asarray(depth[:words])
    width = max(1, lengths.max())
    nodes, signs = np.zeros((words, width), np.int32), np.zeros((words, width), np.int8)
    above, side = np.asarray(up), np.asarray(turn, np.int8)
    climbing = at = np.arange(words)
    for step in range(lengths.max()):
        left = lengths[climbing] > step
        climbing, at = climbing[left], at[left]
        place = order[climbing], lengths[climbing] - 1 - step
        nodes[place], signs[place] = above[at] - words, side[at]
        at = above[at]
    return HuffmanTree(jnp.asarray(nodes), jnp.asarray(signs))


def _merge(ascending: list[int]) -> tuple[list[int], list[int]]:
    """Parent and sign of V leaves (0..V-1) and V - 1 inner nodes (V..2V-2, the last the root)."""
    words = len(ascending)
    endless = float("inf")  # what is not there yet, or no more
    leaves, made = [*ascending, endless], [endless] * words
    up, turn = [0] * (2 * words - 1), [0] * (2 * words - 1)
    leaf = node = 0
    for new in range(words - 1):
        total = 0
        for sign in (1, -1):
            if leaves[leaf] <= made[node]:
                child, weight = leaf, leaves[leaf]
                leaf += 1
            else:
                child, weight = words + node, made[node]
                node += 1
            up[child], turn[child] = words + new, sign
            total += weight
        made[new] = total
    return up, turn
