"""The Huffman tree is a complete prefix code of least expected length; its softmax sums to 1."""

import heapq
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdl.errors import InputError
from jaxdl.word2vec.huffman import HuffmanTree, huffman_tree

COUNTS = st.lists(st.integers(0, 10**12) | st.integers(0, 3), min_size=1, max_size=40)


def paths(tree: HuffmanTree) -> list[list[tuple[int, int]]]:
    """Each word's (node, sign) from the root, without the padding, which must be at the end."""
    nodes, signs = np.asarray(tree.nodes), np.asarray(tree.signs)
    lengths = (signs != 0).sum(1)
    padding = np.arange(signs.shape[1])[None, :] >= lengths[:, None]
    assert not signs[padding].any()
    assert not nodes[padding].any()
    assert set(np.unique(signs)) <= {-1, 0, 1}
    return [
        [(int(n), int(s)) for n, s in zip(*pair, strict=True)][:length]
        for *pair, length in zip(nodes, signs, lengths, strict=True)
    ]


def least_cost(counts: list[int]) -> int:
    """Sum of count times length for Huffman's code: what its merges weigh, by a heap."""
    heap, cost = list(counts), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        cost += merged
        heapq.heappush(heap, merged)
    return cost


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(COUNTS)
def test_a_complete_prefix_code_of_least_length(counts: list[int]):
    """Kraft's sum is 1; each inner node is one prefix, and has both its turns."""
    found = paths(huffman_tree(np.asarray(counts)))
    codes = [tuple(sign for _, sign in path) for path in found]
    assert sum(Fraction(1, 2 ** len(code)) for code in codes) == 1
    for i, a in enumerate(codes):
        assert not any(b[: len(a)] == a for j, b in enumerate(codes) if j != i)
    assert sum(c * len(code) for c, code in zip(counts, codes, strict=True)) == least_cost(counts)
    prefix_of: dict[int, set] = {}
    for path, code in zip(found, codes, strict=True):
        for depth, (node, _) in enumerate(path):
            prefix_of.setdefault(node, set()).add(code[:depth])
    assert sorted(prefix_of) == list(range(len(counts) - 1))
    assert all(len(prefixes) == 1 for prefixes in prefix_of.values())
    assert len({next(iter(prefixes)) for prefixes in prefix_of.values()}) == len(counts) - 1


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_the_probabilities_of_all_words_sum_to_one(size: int):
    rng = np.random.default_rng(0)
    tree = huffman_tree(rng.integers(0, 1000, size))
    x, table = rng.normal(size=8), rng.normal(size=(size, 8))
    scores = table[np.asarray(tree.nodes)] @ x
    signs = np.asarray(tree.signs)
    p = np.where(signs != 0, 1 / (1 + np.exp(-signs * scores)), 1.0).prod(1)
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    assert size < 5 or p.max() < 0.9


def test_the_tree_of_four_words_by_hand():
    """word2vec.c's: the lesser of two has code 0, sign 1; nodes in the order of their making."""
    tree = huffman_tree(np.array([10, 4, 2, 1]))
    np.testing.assert_array_equal(tree.nodes, [[2, 0, 0], [2, 1, 0], [2, 1, 0], [2, 1, 0]])
    np.testing.assert_array_equal(tree.signs, [[-1, 0, 0], [1, -1, 0], [1, 1, -1], [1, 1, 1]])
    # Words in another order have the same paths.
    order = np.array([2, 0, 3, 1])
    shuffled = huffman_tree(np.array([10, 4, 2, 1])[order])
    np.testing.assert_array_equal(shuffled.nodes, np.asarray(tree.nodes)[order])
    np.testing.assert_array_equal(shuffled.signs, np.asarray(tree.signs)[order])


def test_one_word_has_an_empty_path():
    tree = huffman_tree(np.array([7]))
    assert tree.nodes.tolist() == tree.signs.tolist() == [[0]]


@pytest.mark.parametrize("count", [0, 1, 9])
def test_equal_counts_make_a_balanced_tree(count: int):
    """Of zeros too, where taking inner nodes first would make one path of all nodes."""
    tree = huffman_tree(np.full(64, count))
    assert tree.signs.shape == (64, 6)
    assert np.asarray(tree.signs).all()
    again = huffman_tree(np.full(64, count))
    np.testing.assert_array_equal(tree.nodes, again.nodes)
    assert huffman_tree(np.full(100, count)).signs.shape == (100, 7)


@pytest.mark.slow
def test_a_million_words():
    """Kraft's sum in whole numbers; the expected length within a bit of the entropy."""
    counts = np.maximum(1, 1e9 / np.arange(1, 1_000_001)).astype(np.int64)
    tree = huffman_tree(counts)
    signs = np.asarray(tree.signs)
    lengths = (signs != 0).sum(1)
    width = int(lengths.max())
    assert signs.shape == (1_000_000, width)
    assert width < 40
    assert sum(2 ** (width - int(n)) for n in lengths) == 2**width
    assert (np.diff(lengths)[np.diff(counts) < 0] >= 0).all()
    p = counts / counts.sum()
    entropy = -(p * np.log2(p)).sum()
    assert entropy <= (p * lengths).sum() < entropy + 0.1
    assert (np.asarray(tree.nodes)[:, 0] == 999_998).all()


@pytest.mark.parametrize("counts", [[], [3, -1]])
def test_no_words_and_negative_counts_are_refused(counts: list[int]):
    with pytest.raises(InputError, match="word counts"):
        huffman_tree(np.asarray(counts, np.int64))
