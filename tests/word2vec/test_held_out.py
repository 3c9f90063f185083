"""Held-out lines cost no word its vector."""

from pathlib import Path

import numpy as np

from jaxdl.word2vec.batches import held_sentences
from jaxdl.word2vec.data.corpus import encode


def test_a_word_of_held_out_lines_alone_is_trained_on(tmp_path: Path):
    """Every fourth line may be held out; a name comes in one line, the twin in two of these."""
    lines = [f"common words name{n}" for n in range(40)]
    lines[6] = lines[10] = "common words twin"
    lines[14] = "common words"
    (tmp_path / "text").write_text("\n".join(lines) + "\n")
    corpus = encode([tmp_path / "text"], tmp_path / "cache", tokens="split", min_count=1)
    assert held_sentences(corpus, 4).tolist() == [14]
    lines[7] = "common words twin"  # which trains the word
    (tmp_path / "text").write_text("\n".join(lines) + "\n")
    corpus = encode([tmp_path / "text"], tmp_path / "cache", tokens="split", min_count=1)
    held = held_sentences(corpus, 4)
    assert held.tolist() == [6, 10, 14]
    ids = np.split(np.asarray(corpus.ids), np.asarray(corpus.sentences)[1:-1])
    trained = set(np.concatenate([ids[n] for n in range(40) if n not in held]).tolist())
    assert trained == set(range(len(corpus.words)))
    assert held_sentences(corpus, 38).tolist() == []  # line 19 has a name of its own
