"""Training that begins from vectors, and more of it."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdl import KeyedVectors, Word2Vec
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.files.atomic import read_json
from jaxdl.training import checkpoint
from jaxdl.word2vec.command import run
from jaxdl.word2vec.config import Config, check
from jaxdl.word2vec.dataset import Vocabulary, read_vocabulary
from jaxdl.word2vec.model import init_tables
from jaxdl.word2vec.start import read_start, start_tables

WORDS = ("cat", "dog", "cow", "red", "blue", "green")


def sentences() -> list[list[str]]:
    rng = np.random.default_rng(0)
    return [list(rng.choice(WORDS[:3] if n % 2 else WORDS[3:], 6)) for n in range(200)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("start")


@pytest.fixture(scope="module")
def cfg(place: Path) -> Config:
    (place / "text.txt").write_text("".join(" ".join(words) + "\n" for words in sentences()))
    return Config(
        data=(place / "text.txt",),
        data_dir=place / "data",
        tokens="split",
        min_count=1,
        dim=6,
        window=3,
        subsample=0.0,
        epochs=2,
        held_out=0,
        logs_per_epoch=1,
        prefetch_process=False,
        out=place / "run",
    )


@pytest.fixture(scope="module")
def first(cfg: Config) -> Path:
    run(cfg, Bar())
    return cfg.out


@pytest.fixture(scope="module")
def vectors(place: Path) -> KeyedVectors:
    """Of some of the text's words, in another order, and of others."""
    kv = KeyedVectors(6)
    kv.add_vectors(["green", "sky", "cat", "Dog"], np.random.default_rng(3).standard_normal((4, 6)))
    kv.save_word2vec_format(place / "vectors.txt")
    kv.save_word2vec_format(place / "vectors.bin", binary=True)
    kv.save_word2vec_format(place / "glove.txt", write_header=False)
    kv.save(place / "vectors.npz")
    return kv


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.bin", "glove.txt", "vectors.npz"])
def test_words_of_a_file_take_its_vectors_and_the_others_start_as_usual(
    name: str, cfg: Config, vectors: KeyedVectors, place: Path
):
    cfg = dataclasses.replace(cfg, start_from=place / name)
    vocabulary = Vocabulary(WORDS, np.arange(6, 0, -1), np.arange(6))
    found = start_tables(cfg, 6, read_start(cfg, vocabulary))
    fresh = init_tables(jax.random.key(cfg.seed), 6, cfg.dim)
    for row, word in enumerate(WORDS):
        expected = vectors[word] if word in ("cat", "green") else fresh.inputs[row]
        np.testing.assert_array_equal(found.inputs[row], expected)
    assert not found.outputs.any()


@pytest.mark.slow
def test_words_of_a_run_take_its_output_rows_too_if_they_mean_the_same(cfg: Config, first: Path):
    words, counts = read_vocabulary(first / "vocabulary.txt")
    params, *_ = checkpoint.load_params(first / "checkpoints")
    other = Vocabulary(("new", *words[::-1]), np.arange(7, 0, -1), np.arange(7))
    same = Vocabulary(words, counts, np.arange(6))
    for loss, vocabulary, taken in (
        ("negative-sampling", other, True),
        ("full-softmax", other, False),  # another loss than the run's
    ):
        found = dataclasses.replace(cfg, start_from=first, loss=loss)
        start = read_start(found, vocabulary)
        assert start.rows.tolist() == list(range(1, 7))
        np.testing.assert_array_equal(start.inputs, params["inputs"][::-1])
        assert (start.outputs is not None) == taken
        if start.outputs is not None:
            np.testing.assert_array_equal(start.outputs, params["outputs"][::-1])
    model = Word2Vec(sentences(), hs=1, negative=0, vector_size=6, min_count=1, epochs=1)
    trained = model._tables[1].copy()
    assert trained.any()
    model.build_vocab([["cat"]], update=True)  # the tree is another, and its rows mean nothing
    assert not model._tables[1].any()
    assert same.words == words


@pytest.mark.slow
def test_the_command_and_python_end_in_the_same_bits(
    cfg: Config,
    vectors: KeyedVectors,
    place: Path,
    capsys: pytest.CaptureFixture[str],
):
    file, out = place / "from.bin", place / "from-file"
    file.write_bytes((place / "vectors.bin").read_bytes())
    own = dataclasses.replace(cfg, start_from=file, out=out)
    run(own, Bar())
    printed = capsys.readouterr().out
    assert f"{file}: 2 of 6 words take its vectors, 4 start at random" in printed
    record = read_json(out / "run.json")
    assert record["start"] == {"taken": 2, "initialised": 4}
    assert [each["name"] for each in record["inputs"]] == ["text.txt", "from.bin"]
    small = {"vector_size": 6, "window": 3, "min_count": 1, "sample": 0, "epochs": 2}
    same = {**small, "alpha": cfg.learning_rate, "sg": 1, "seed": 0}
    model = Word2Vec(**same)
    model.build_vocab(sentences())
    model.wv.vectors_lockf = np.ones(len(model.wv), np.float32)  # as gensim wants it
    model.wv.intersect_word2vec_format(str(file), lockf=1.0, binary=True)
    model.train(sentences(), total_examples=200, epochs=2)
    params, *_ = checkpoint.load_params(out / "checkpoints")
    np.testing.assert_array_equal(model.wv.vectors, params["inputs"])
    again = Word2Vec(**same)
    again.build_vocab(sentences())
    again.wv[["cat", "green"]] = vectors[["cat", "green"]]
    again.train(sentences())
    np.testing.assert_array_equal(again.wv.vectors, params["inputs"])
    again.wv.add_vectors(["sky"], np.ones((1, 6)))
    with pytest.raises(InputError, match="words that were not counted; call build_vocab"):
        again.train(sentences())
    file.write_bytes((place / "vectors.txt").read_bytes())
    with pytest.raises(InputError, match=r"from\.bin holds \d+ bytes, and held"):
        run(own, Bar())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"dim": 7}, r"vectors\.txt: has vectors of 6 numbers; use --dim 6$"),
        ({"tokens": "words", "start_from": "other.txt"}, r"has none of the text's words \(it has"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_before_the_run_has_a_record(
    options: dict[str, Any], why: str, cfg: Config, vectors: KeyedVectors, place: Path
):
    (place / "other.txt").write_text("1 6\nsky 1 2 3 4 5 6\n")
    file = place / options.pop("start_from", "vectors.txt")
    own = dataclasses.replace(cfg, start_from=file, out=place / "none", **options)
    with pytest.raises(InputError, match=why) as refused:
        run(own, Bar())
    assert "\n" not in str(refused.value)
    assert not (place / "none" / "run.json").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"start_from": "none"}, "none: there is no such file; name a run or a vectors file"),
        ({"start_from": "vectors.txt", "extend": True}, "does not count its words, which --extend"),
    ],
)
def test_a_start_that_cannot_be_is_told_before_any_work(
    options: dict[str, Any], why: str, cfg: Config, vectors: KeyedVectors, place: Path
):
    own = dataclasses.replace(cfg, start_from=place / options["start_from"])
    if "extend" in options:
        own = dataclasses.replace(own, extend=cfg.data, data=())
    with pytest.raises(InputError, match=why):
        check(own)


def test_python_refuses_what_it_cannot_do(vectors: KeyedVectors, place: Path):
    kv = KeyedVectors(6)
    kv.add_vectors(["cat"], np.ones((1, 6)))
    with pytest.raises(InputError, match=r"lockf=0.0: vectors cannot be kept from training"):
        kv.intersect_word2vec_format(place / "vectors.txt")
    with pytest.raises(InputError, match="cannot be kept from training; leave it at 1"):
        kv.vectors_lockf = np.zeros(1)
    five = KeyedVectors(5)
    five.add_vectors(["cat"], np.ones((1, 5)))
    with pytest.raises(InputError, match="vectors of 6 numbers, and these have 5"):
        five.intersect_word2vec_format(place / "vectors.txt", lockf=1)
    kv = KeyedVectors(6)
    kv.add_vectors(["fish"], np.ones((1, 6)))
    with pytest.raises(InputError, match="has none of the 1 words"):
        kv.intersect_word2vec_format(place / "vectors.txt", lockf=1)


@pytest.mark.slow
def test_a_finished_run_grows_at_a_constant_rate_and_else_says_how(
    cfg: Config, first: Path, place: Path, capsys: pytest.CaptureFixture[str]
):
    constant = dataclasses.replace(cfg, end_learning_rate=cfg.learning_rate)
    grown = dataclasses.replace(constant, out=place / "grown")
    for epochs in (1, 3):
        run(dataclasses.replace(grown, epochs=epochs), Bar())
    straight = dataclasses.replace(constant, out=place / "straight", epochs=3)
    run(straight, Bar())
    assert read_json(grown.out / "summary.json")["word2vec"]["epochs"] == 3
    same = (straight.out / "vectors.bin").read_bytes()
    assert (grown.out / "vectors.bin").read_bytes() == same
    with pytest.raises(InputError, match=r"epochs: 3 -> 2\); a run cannot become shorter"):
        run(dataclasses.replace(grown, epochs=2), Bar())
    with pytest.raises(InputError) as refused:
        run(dataclasses.replace(cfg, epochs=5), Bar())
    text = f"the same command with --start-from {first} --out {first}-more --epochs 3, or"
    assert text in str(refused.value)
    capsys.readouterr()
    more = dataclasses.replace(cfg, start_from=first, out=Path(f"{first}-more"), epochs=3)
    found = run(more, Bar())
    assert "6 of 6 words take its vectors, 0 start at random" in capsys.readouterr().out
    assert found["word2vec"]["epochs"] == 3


@pytest.mark.slow
def test_words_are_made_as_in_the_run_that_is_extended_and_unknown_ones_are_told(
    cfg: Config, first: Path, place: Path, capsys: pytest.CaptureFixture[str]
):
    own = dataclasses.replace(
        cfg, data=(), extend=cfg.data, start_from=first, out=place / "extended", words=("kign",)
    )
    for name, value in (("tokens", "words"), ("phrases", 1)):
        other: Any = {name: value}
        old = getattr(cfg, name)
        with pytest.raises(InputError, match=f"with --{name} {old}; extend it with the same"):
            run(dataclasses.replace(own, **other), Bar())
    assert not (own.out / "run.json").exists()
    found = run(own, Bar())
    (told,) = found["warnings"]
    assert told == "--words 'kign': not among the 6 words of the vocabulary, so not shown"
    assert told in "".join(capsys.readouterr().out.split("\n"))


@pytest.mark.slow
def test_a_run_with_phrases_has_vectors_of_them_and_says_where_they_are(
    cfg: Config, place: Path, capsys: pytest.CaptureFixture[str]
):
    own = dataclasses.replace(
        cfg, phrases=1, phrases_min_count=1, phrases_threshold=0.01, out=place / "phrases"
    )
    run(own, Bar())
    found = KeyedVectors.load(own.out)
    phrases = [word for word in found if "_" in word]
    assert "cat_dog" in phrases
    printed = "".join(capsys.readouterr().out.split())
    assert f"phrases:{len(phrases)}inpass1({cfg.data_dir}" in printed
