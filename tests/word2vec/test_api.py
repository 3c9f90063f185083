"""Word2Vec with gensim's names: the command's bits, more training, what is refused."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.word2vec.same_as_gensim import notebook_of_ours
from jaxdl import Word2Vec
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.training import checkpoint
from jaxdl.word2vec.command import run
from jaxdl.word2vec.config import PRESETS
from jaxdl.word2vec.gensim_options import UNSUPPORTED, WITHOUT_EFFECT
from tests.helpers.processes import ROOT

TOPICS = (("cat", "dog", "cow", "pig"), ("red", "blue", "green", "pink"))


def sentences(count: int = 300) -> list[list[str]]:
    """Words of one topic each."""
    rng = np.random.default_rng(0)
    return [list(rng.choice(TOPICS[n % 2], 8)) for n in range(count)]


OPTIONS: dict[str, Any] = {"vector_size": 8, "window": 3, "min_count": 1, "sample": 0, "epochs": 4}


@pytest.fixture(scope="module")
def model() -> Word2Vec:
    return Word2Vec(sentences(), sg=1, alpha=0.05, seed=3, **OPTIONS)


@pytest.mark.slow
def test_it_ends_in_the_commands_bits_however_the_text_is_given(model: Word2Vec, tmp_path: Path):
    text = tmp_path / "text.txt"
    text.write_text("".join(" ".join(words) + "\n" for words in sentences()))
    cfg = dataclasses.replace(
        PRESETS["text"],
        data=(text,),
        tokens="split",
        dim=8,
        window=3,
        min_count=1,
        subsample=0.0,
        epochs=4,
        learning_rate=0.05,
        held_out=0,
        prefetch_process=False,
        seed=3,
        out=tmp_path / "run",
        data_dir=tmp_path / "data",
    )
    run(cfg, Bar())
    params, *_ = checkpoint.load_params(tmp_path / "run" / "checkpoints")
    np.testing.assert_array_equal(model.wv.vectors, params["inputs"])
    file = Word2Vec(corpus_file=text, sg=1, alpha=0.05, seed=3, workers=7, **OPTIONS)
    np.testing.assert_array_equal(file.wv.vectors, params["inputs"])
    parts = Word2Vec(sg=1, alpha=0.05, seed=3, **OPTIONS)
    parts.build_vocab(sentences())
    parts.train(iter(sentences()), total_examples=300, epochs=4)  # an iterator is read once
    np.testing.assert_array_equal(parts.wv.vectors, params["inputs"])
    assert parts.losses == model.losses


@pytest.mark.slow
def test_neighbours_are_of_the_own_topic_and_losses_fall(model: Word2Vec):
    assert [word for word, _ in model.wv.most_similar("cat", topn=3)] != []
    assert {word for word, _ in model.wv.most_similar("cat", topn=3)} <= set(TOPICS[0])
    assert len(model.losses) == 4
    assert model.losses[-1] < model.losses[0]
    assert model.get_latest_training_loss() == model.losses[-1]


@pytest.mark.slow
@pytest.mark.parametrize("loss", [{"sg": 0}, {"sg": 1, "hs": 1, "negative": 0}])
def test_cbow_and_the_hierarchical_softmax_learn_too(loss: dict[str, int]):
    found = Word2Vec(sentences(), alpha=0.1, **loss, **OPTIONS)
    assert {word for word, _ in found.wv.most_similar("red", topn=3)} <= set(TOPICS[1])


@pytest.mark.slow
def test_more_training_with_new_words_from_a_saved_model(model: Word2Vec, tmp_path: Path):
    model.save(tmp_path / "model.npz")
    again = Word2Vec.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.wv.vectors, model.wv.vectors)
    assert again.losses == model.losses
    new = [["new york", "cat", "dog"]] * 50
    again.build_vocab(new, update=True)
    assert "new york" in again.wv
    for word in ("cat", "red"):  # known words keep their vectors
        np.testing.assert_array_equal(again.wv[word], model.wv[word])
    before = again.wv["new york"].copy()
    trained, read = again.train(new, epochs=2)
    assert (trained, read) == (2 * 150, 2 * 150)
    assert not np.array_equal(again.wv["new york"], before)
    assert len(again.losses) == len(model.losses) + 2


@pytest.mark.slow
def test_callbacks_see_the_model_after_each_epoch():
    class Watch:
        def __init__(self) -> None:
            self.calls: list[Any] = []

        def on_train_begin(self, model: Word2Vec) -> None:
            self.calls.append("begin")

        def on_epoch_end(self, model: Word2Vec) -> None:
            self.calls.append(model.wv["cat"].copy())

        def on_train_end(self, model: Word2Vec) -> None:
            self.calls.append("end")

    watch = Watch()
    found = Word2Vec(sentences(), sg=1, callbacks=[watch], **{**OPTIONS, "epochs": 2})
    begin, first, second, end = watch.calls
    assert (begin, end) == ("begin", "end")
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, found.wv["cat"])


@pytest.mark.slow
def test_the_pages_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = (ROOT / "jaxdl" / "word2vec" / "README.md").read_text()
    section = page.split("## Training as with gensim\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    assert "prince" in names["model"].wv
    assert "('" in capsys.readouterr().out
    assert (tmp_path / "trained.bin").is_file()
    table = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)[2:]
    known = {*inspect.signature(Word2Vec).parameters, *dir(Word2Vec), *WITHOUT_EFFECT, "update"}
    for name in re.findall(r"`(\w+)[`=]", " ".join(table).split("`score`")[0]):
        assert name in known or name in UNSUPPORTED, name


@pytest.mark.slow
def test_a_notebook_of_gensims_moves_over_by_its_import_line(
    tmp_path: Path,
):
    """`make same-as-gensim` runs it with gensim too, and lets gensim read the files."""
    found = notebook_of_ours(tmp_path)
    assert found["near"] == [["court", "prince", "queen"]] * 2
    assert (found["odd"], found["first"], found["row"], found["count"]) == (
        *("plum", "prince", 3, 600),
    )
    assert found["seen"] == [600, 5400, 5, 16]
    assert found["callbacks"] == 22
    assert found["sections"] == [["royal", 1], ["fruit", 0], ["Total accuracy", 1]]
    assert found["more"] == [10, True, 50]
    assert found["kept"] == [10, True]
    for name in ("loss", "sum", "closer", "unknown", "same", "taken"):
        assert found[name] is True
    assert found["in"] == [True, False]


@pytest.mark.slow
def test_a_training_on_nothing_says_so():
    with pytest.warns(UserWarning, match="not one pair of words was trained on"):
        found = Word2Vec([["cat"], ["dog"]] * 9, min_count=1, vector_size=8, sample=0, epochs=1)
    assert np.isnan(found.losses).all()
    with pytest.raises(InputError, match="none of 2 sentences has a word of the vocabulary"):
        found.train([["cow"], ["pig"]])


def test_a_vocabulary_of_counts():
    found = Word2Vec(vector_size=4, min_count=2, max_final_vocab=2)
    found.build_vocab_from_freq({"a": 3, "b": 9, "c": 1, "d": 4})
    assert found.wv.index_to_key == ["b", "d"]
    with pytest.raises(InputError, match="min_count=2"):
        found.build_vocab_from_freq({"a": 1})


def bad(*sentences: Any) -> Iterator[Any]:
    yield from sentences


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"sentences": "a text"}, "sentences is a text; give lists of words, or corpus_file"),
        ({"sentences": ["a text", "two"]}, r"sentence 1 is a text .*split it into words"),
        ({"sentences": [["a", 7]]}, "the token 7 is not a text"),
        ({"sentences": [["a", "b\n"]]}, "has white space; split it first"),
        ({"sentences": [["a", ""]]}, "is empty, or has white space"),
        ({"sentences": bad()}, "no sentence: an iterator can be read once"),
        ({"sentences": [["a"]]}, "no word comes 5 times or more"),
        ({"sentences": [[], []]}, "none of 2 sentences has a word; there is nothing to train on"),
        ({"hs": 1}, "one loss is trained: hs=1, negative=0"),
        ({"cbow_mean": 0}, "use the mean"),
        ({"trim_rule": len}, r"trim_rule=.*leave words out"),
        ({"vector_sise": 4}, "no option 'vector_sise'"),
        ({"window": 0}, "--window 0: must be"),
        ({"sentences": [["a"]], "corpus_file": "x"}, "one of them"),
        ({"corpus_file": "nothing.txt"}, "nothing.txt"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(given: dict[str, Any], why: str):
    with pytest.raises(InputError, match=why):
        Word2Vec(**given)


def test_a_model_without_a_vocabulary_and_a_file_of_another_kind(tmp_path: Path):
    for call in (lambda m: m.wv, lambda m: m.train([["a"]]), lambda m: m.save(tmp_path / "x")):
        with pytest.raises(InputError, match="no vocabulary: give sentences, or call build_vocab"):
            call(Word2Vec())
    (tmp_path / "other").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"other: is not a model that Word2Vec.save wrote"):
        Word2Vec.load(tmp_path / "other")
