"""Phrases as gensim's `Phrases` finds them: the same counts, scores and joined sentences."""

from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.word2vec import phrases as joined
from jaxdl.word2vec.data import phrase_counts, phrases
from jaxdl.word2vec.data.corpus import Corpus, encode
from jaxdl.word2vec.data.phrases import Rules

Found = dict[str, tuple[int, float]]


def one_pass(
    sentences: list[list[str]], min_count: int, threshold: float
) -> tuple[list[list[str]], Found]:
    """By the definition: one table for words and pairs, by their text; joined from the left."""
    entries = Counter(word for words in sentences for word in words)
    entries.update("_".join(pair) for words in sentences for pair in pairwise(words))
    found, after = {}, []
    for words in sentences:
        made, n = [], 0
        while n < len(words):
            text = "_".join(words[n : n + 2])
            if n + 1 < len(words):
                product = float(entries[words[n]] * entries[words[n + 1]])
                score = (entries[text] - min_count) / product * len(entries)
                if score > threshold:
                    found[text] = (entries[text], score)  # of different pairs the last one's
                    made.append(text)
                    n += 2
                    continue
            made.append(words[n])
            n += 1
        after.append(made)
    return after, found


def sentences_of(corpus: Corpus) -> list[list[str]]:
    ids = np.split(np.asarray(corpus.ids), np.asarray(corpus.sentences)[1:-1])
    return [[corpus.words[row] for row in each] for each in ids]


def phrases_of(corpus: Corpus, passes: int) -> list[Found]:
    found: list[Found] = [{} for _ in range(passes)]
    for line in (corpus.folder / "phrases.tsv").read_text().splitlines():
        number, text, count, score = line.split("\t")
        found[int(number) - 1][text] = (int(count), float(score))
    return found


def text(lines: int = 400) -> list[list[str]]:
    """Some pairs are frequent, overlap, or are spelt as a word of the text."""
    rng = np.random.default_rng(2)
    parts = [["new", "york"], ["new", "york", "times"], ["a", "a", "a"], ["new_york"], ["b_c"]]
    parts += [["b"], ["c"], ["a_b"], ["_"], ["caf\u00e9", "noir"], ["york"], ["x", "b", "c"]]
    parts += [[f"w{n}"] for n in range(60)]
    return [
        [word for n in rng.integers(0, len(parts), 9) for word in parts[n]] for _ in range(lines)
    ]


@pytest.mark.parametrize(("chunk", "part"), [(1 << 20, 1 << 23), (97, 64)])
@pytest.mark.parametrize(("min_count", "threshold"), [(5, 10.0), (1, 1.5)])
def test_counts_scores_and_sentences_are_those_of_the_definition(
    chunk: int,
    part: int,
    min_count: int,
    threshold: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Whatever lies in memory at once, and however many tables the words were written out to."""
    for module in (phrases, phrase_counts):
        monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(phrase_counts, "_PART", part)
    given = text()
    (tmp_path / "text").write_text("".join(" ".join(words) + "\n" for words in given))
    small: dict[str, Any] = {"block_bytes": 500, "table_bytes": 2000} if chunk < 1000 else {}
    corpus = encode(
        [tmp_path / "text"],
        tmp_path / "cache",
        tokens="split",
        min_count=1,
        phrases=Rules(3, min_count, threshold),
        **small,
    )
    expected, wanted = given, list[Found]()
    for _ in range(3):
        expected, found = one_pass(expected, min_count, threshold)
        wanted.append(found)
    assert [len(found) for found in wanted] == list(corpus.phrases)
    assert "new_york_times" in wanted[1]
    assert phrases_of(corpus, 3) == wanted
    assert sentences_of(corpus) == expected
    counts = Counter(word for words in expected for word in words)
    assert dict(zip(corpus.words, corpus.counts.tolist(), strict=True)) == counts
    assert corpus.raw_tokens == sum(map(len, given))
    assert sorted(path.name for path in corpus.folder.iterdir()) == [
        *("corpus.json", "counts", "ids", "phrases.tsv", "starts", "words.txt")
    ]


def test_sentences_of_a_program_are_joined_too():
    given = text()
    once, _ = one_pass(given, 5, 10.0)
    twice, _ = one_pass(once, 5, 10.0)
    assert joined(iter(given)) == once
    assert joined([*given, []], passes=2) == twice
    spaced = [["new city", "hall", f"w{n % 40}"] for n in range(80)]
    assert joined(spaced, min_count=1, threshold=1)[0] == ["new city_hall", "w0"]
    with pytest.raises(InputError, match=r"passes=0, min_count=5.*give 1 or more"):
        joined(given, passes=0)
    with pytest.raises(InputError, match="no sentence: an iterator can be read once"):
        joined([])


def test_each_rule_makes_a_text_of_its_own_and_none_leaves_the_text_as_it_is(tmp_path: Path):
    (tmp_path / "text").write_text("new york\n" * 20 + "new\nyork\nother words\n" * 3)
    call = partial(encode, [tmp_path / "text"], tmp_path / "cache", tokens="split", min_count=1)
    plain, found = call(), call(phrases=Rules(1, 5, 0.1))
    again = call(phrases=Rules(2, 5, 0.1))
    assert len({plain.folder, found.folder, again.folder}) == 3
    assert plain.words == call(phrases=Rules(0, 1, 0.1)).words == ("new", "york", "other", "words")
    assert (found.phrases, again.phrases) == ((1,), (1, 0))
    assert found.words[0] == "new_york"
    assert call(phrases=Rules(1, 5, 0.1)).folder == found.folder
    call = partial(encode, [tmp_path / "text"], tmp_path / "cache", tokens="split")
    with pytest.raises(InputError, match=r"no word comes 99 times or more: .* comes 20 times"):
        call(min_count=99, phrases=Rules(1, 5, 0.1))
