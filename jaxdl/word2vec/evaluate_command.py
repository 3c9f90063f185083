"""``jaxdl word2vec evaluate``: scores of any vectors, by gensim's rules."""

from collections.abc import Sequence
from pathlib import Path

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.word2vec.evaluation import in_words, scores_of, without_score
from jaxdl.word2vec.evaluation_files import check_files
from jaxdl.word2vec.keyed_vectors import path_of
from jaxdl.word2vec.vectors import load


def evaluate(run: Path, word_pairs: Sequence[Path], analogies: Sequence[Path]) -> None:
    """Print a line for each file: its score, and how many of its lines were used.

    Args:
        run: run folder, or a file of vectors in any format of `jaxdl.word2vec.vector_files`.
        word_pairs: files of judged pairs; the score is Spearman's correlation.
        analogies: files of questions; the score is the share of right answers.

    Raises:
        InputError: no file, or one that cannot be used.
    """
    if not (word_pairs or analogies):
        raise InputError("name a file of judged pairs with --word-pairs, or one with --analogies")
    check_files(word_pairs, analogies)
    bar = Bar()
    found = scores_of(load(path_of(run)), word_pairs, analogies)
    for name, one in found.items():
        line = f"{name}: {in_words(one['score'])} ({one['used']} of {one['all']})"
        more = f", Pearson {in_words(one['pearson'])}" if one["kind"] == "pairs" else ""
        bar.line(line + more)
    bar.warn(without_score(found))
