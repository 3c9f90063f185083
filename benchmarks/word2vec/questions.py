"""Questions to word vectors, asked in gensim's words, of gensim or of us.

As a script it is run by a Python that has gensim, and prints gensim's answers as JSON: about the
files of vectors and the phrases of a text in gensim's package; or, if a file like
`keyed-vectors.json` in `tests/fixtures` is named, that file with new answers. It imports nothing of
this project.
"""

import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

# Files in gensim/test/test_data, and how to load them.
FILES: dict[str, dict[str, Any]] = {
    "EN.1-10.cbow1_wind5_hs0_neg10_size300_smpl1e-05.txt": {},
    "IT.1-10.cbow1_wind5_hs0_neg10_size300_smpl1e-05.txt": {},
    "crime-and-punishment.vec": {},
    "euclidean_vectors.bin": {"binary": True},
    "high_precision.kv.bin": {"binary": True},
    "high_precision.kv.txt": {},
    "lee_fasttext.vec": {},
    "pang_lee_polarity_fasttext.vec": {"unicode_errors": "replace"},
    "poincare_vectors.bin": {"binary": True},
    "test_glove.txt": {"no_header": True},
    "toy-model.vec": {},
    "w2v_keyedvectors_load_test.modeldata": {"unicode_errors": "ignore"},
}


# Least count and threshold of phrases in TEXT, of the same folder.
PHRASES = ((5, 10.0), (1, 2.0))
TEXT = "lee_background.cor"


def answers(kind: Any, folder: Path) -> dict[str, Any]:
    """The answers of a `KeyedVectors` class, by file and question, as JSON has them."""
    found = {}
    for name, options in FILES.items():
        for limit in (None, 3):
            loaded = kind.load_word2vec_format(str(folder / name), limit=limit, **options)
            key = f"{name} {'whole' if limit is None else limit}"
            found[key] = {"words": loaded.index_to_key, "first": loaded[0].tolist()}
            if len(loaded) > 8:
                found[key] |= queries(loaded)
    loaded = kind.load_word2vec_format(str(folder / "lee_fasttext.vec"))
    pairs = [folder / name for name in ("wordsim353.tsv", "simlex999.txt")]
    found["evaluation"] = evaluations(loaded, pairs, folder / "questions-words.txt")
    return plain(found)


def phrases(kind: Any, sentences: list[list[str]]) -> list[list[Any]]:
    """Three passes of gensim's `Phrases` by two rules: the sentences after each, and the scores."""
    found = []
    for min_count, threshold in PHRASES:
        words = sentences
        for _ in range(3):
            learnt = kind(words, min_count=min_count, threshold=threshold)
            scores = learnt.find_phrases(words)
            words = [list(each) for each in learnt[words]]
            found.append([words, scores])
    return found


def plain(found: Any) -> Any:
    """Answers as JSON has them."""
    return json.loads(json.dumps(found, default=lambda one: np.asarray(one).tolist()))


def kept_answers(kind: Any, kept: dict[str, Any]) -> dict[str, Any]:
    """The answers about a table and about small evaluations that are given as JSON."""
    kv = kind(len(kept["table"][0]))
    kv.add_vectors(kept["words"], np.array(kept["table"], np.float32))
    with tempfile.TemporaryDirectory() as folder:
        pairs, analogies = Path(folder, "pairs"), Path(folder, "analogies")
        pairs.write_text(kept["pairs"])
        analogies.write_text(kept["analogies"])
        return plain(queries(kv) | evaluations(kv, [pairs], analogies))


def queries(kv: Any) -> dict[str, Any]:
    """Answers of vectors of nine words or more."""
    a, b, c, d, e = (kv.index_to_key[n * len(kv) // 6] for n in range(5))
    vector, few = 3 * kv[b] - kv[c], len(kv) // 2
    return {
        "one": kv.most_similar(a),
        "none": kv.most_similar(a, topn=0),
        "sum": kv.most_similar(positive=[a, b], negative=[c], topn=5),
        "row": kv.most_similar(positive=[1, a], topn=3),
        "vector": kv.most_similar(positive=[vector, d], negative=c),
        "pairs": kv.most_similar(positive=[(a, 2.0), (vector, -0.5), b], negative=[(c, -3.0)]),
        "restricted": kv.most_similar(a, topn=4, restrict_vocab=few),
        "clipped": kv.most_similar(a, clip_start=2, clip_end=few),
        "all": kv.most_similar(a, topn=None),
        "cosmul": kv.most_similar_cosmul(positive=[a, b], negative=[c], topn=7),
        "cosmul all": kv.most_similar_cosmul(positive=[a], negative=[d], topn=None),
        "by word": kv.similar_by_word(e, topn=3, restrict_vocab=few),
        "by vector": kv.similar_by_vector(vector, topn=6),
        "similarity": [kv.similarity(a, other) for other in (a, b, c, d)],
        "distance": [kv.distance(other, b) for other in (a, c, d)],
        "distances": kv.distances(a),
        "some distances": kv.distances(vector, [b, c]),
        "n": kv.n_similarity([a, b], [c, d, e]),
        "odd": [kv.doesnt_match([a, b, c]), kv.doesnt_match([e, d, c, b])],
        "rank": [kv.rank(a, other) for other in (b, c, d)],
        "closer": kv.closer_than(a, b),
        "mean": kv.get_mean_vector([a, b, vector]),
        "weighted": kv.get_mean_vector([a, b], weights=[0.25, -2], post_normalize=True),
        "raw mean": kv.get_mean_vector([a, "not there", b], pre_normalize=False),
        "unit": kv.get_vector(a, norm=True),
        "units": kv.get_normed_vectors()[:2],
        "two": kv[[a, b]],
        "index": [kv.get_index(c), kv.get_index("not there", default=7)],
        "in": [a in kv, "not there" in kv, 0 in kv, len(kv) in kv],
        "length": len(kv),
        "size": kv.vector_size,
        "added": _added(kv, vector),
    }


def _added(kv: Any, vector: Any) -> Any:
    """Of an object of its own: some words, of which one is replaced."""
    made = type(kv)(kv.vector_size)
    made.add_vectors(kv.index_to_key[:5], kv.vectors[:5])
    made.add_vectors([kv.index_to_key[1], "new"], np.stack([vector, 2 * vector]))
    made[kv.index_to_key[2]] = vector
    return [made.index_to_key, made.vectors, made.most_similar("new", topn=2)]


def evaluations(kv: Any, pairs: list[Path], analogies: Path) -> dict[str, Any]:
    """Scores by different rules."""
    found: dict[str, Any] = {}
    for options in ({}, {"case_insensitive": False}, {"restrict_vocab": 2 * len(kv) // 3}):
        for dummy in (False, True):
            more = options | {"dummy4unknown": dummy}
            for path in pairs:
                pearson, spearman, oov = kv.evaluate_word_pairs(str(path), **more)
                found[f"{path.name} {more}"] = [*map(float, (*pearson, *spearman)), oov]
    score, sections = kv.evaluate_word_analogies(str(analogies))
    found["analogies"] = [score, sections]
    return found


if __name__ == "__main__":
    import gensim  # pyrefly: ignore[missing-import]
    from gensim.models import KeyedVectors  # pyrefly: ignore[missing-import]
    from gensim.models.phrases import Phrases  # pyrefly: ignore[missing-import]

    if sys.argv[1:]:
        kept = json.loads(Path(sys.argv[1]).read_text())
        print(json.dumps(kept | {"answers": kept_answers(KeyedVectors, kept)}))
    else:
        where = Path(inspect.getfile(gensim)).parent / "test" / "test_data"
        given = [line.split() for line in (where / TEXT).read_text(encoding="utf-8").split("\n")]
        found = {"folder": str(where), "answers": answers(KeyedVectors, where)}
        print(json.dumps(found | {"phrases": phrases(Phrases, [one for one in given if one])}))
