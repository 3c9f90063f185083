"""What a user of gensim does in a notebook; `make same-as-gensim` runs it with gensim and with us.

Ours is the same text with another import line. It prints what does not hang on chance as JSON.
"""

import json
import random

import numpy as np
from gensim.models import KeyedVectors, Word2Vec  # pyrefly: ignore[missing-import]

random.seed(0)
PARTS = (["king", "queen", "prince", "court"], ["apple", "pear", "plum", "cherry"])
sentences = [[*random.choices(PARTS[n % 2], k=8), "the"] for n in range(600)]


class Watch:
    """gensim's callbacks."""

    calls = 0

    def on_train_begin(self, model):
        self.calls += 1

    def on_train_end(self, model):
        self.calls += 1

    def on_epoch_begin(self, model):
        self.calls += 1

    def on_epoch_end(self, model):
        self.calls += 1


# Train on lists, at once or in steps.
watch = Watch()
options = {"vector_size": 16, "window": 4, "min_count": 3, "sg": 1, "sample": 0, "seed": 3}
model = Word2Vec(
    sentences, alpha=0.05, epochs=10, workers=2, compute_loss=True, callbacks=[watch], **options
)
steps = Word2Vec(alpha=0.05, **options)
steps.build_vocab(sentences, progress_per=1000)
steps.train(sentences, total_examples=steps.corpus_count, epochs=steps.epochs)

# Query.
found = {
    "callbacks": watch.calls,
    "loss": model.get_latest_training_loss() > 0,
    "words": sorted(model.wv.index_to_key),
    "first": model.wv.index_to_key[0],
    "row": model.wv.key_to_index["the"],
    "count": model.wv.get_vecattr("the", "count"),
    "shapes": [len(model.wv), list(model.wv.vectors.shape), model.wv["king"].shape[0]],
    "in": ["king" in model.wv, "nobody" in model.wv],
    "seen": [steps.corpus_count, steps.corpus_total_words, steps.epochs, steps.vector_size],
}
found["near"] = [
    sorted(word for word, _ in one.wv.most_similar("king", topn=3)) for one in (model, steps)
]
found["sum"] = (
    model.wv.most_similar(positive=["king", "queen"], negative=["pear"], topn=1)[0][1] > 0
)
found["odd"] = model.wv.doesnt_match(["king", "queen", "plum", "court"])
found["closer"] = model.wv.similarity("king", "queen") > model.wv.similarity("king", "plum")
try:
    model.wv["nobody"]
except KeyError:
    found["unknown"] = True

# Evaluate.
with open("pairs.tsv", "w") as file:
    file.write("king\tqueen\t9\nking\tapple\t1\npear\tplum\t8\npear\tprince\t2\n")
with open("questions.txt", "w") as file:
    file.write(": royal\nking queen prince court\n: fruit\napple pear plum nothing\n")
pearson, spearman, unknown = model.wv.evaluate_word_pairs("pairs.tsv")
found["pairs"] = [round(pearson[0], 1) >= 0.9, spearman[0] > 0, unknown]
score, sections = model.wv.evaluate_word_analogies("questions.txt")
found["sections"] = [[one["section"], len(one["correct"] + one["incorrect"])] for one in sections]

# Save, load, train on with new words.
model.save("model.npz")
model = Word2Vec.load("model.npz")
more = [["duke", "king", "court", "the"]] * 50
model.build_vocab(more, update=True)
model.train(more, total_examples=model.corpus_count, epochs=5)
found["more"] = [len(model.wv), "duke" in model.wv, model.wv.get_vecattr("duke", "count")]

# Vectors of others, and for others.
model.wv.save_word2vec_format("vectors.bin", binary=True)
model.wv.save_word2vec_format("vectors.txt")
loaded = KeyedVectors.load_word2vec_format("vectors.bin", binary=True)
found["same"] = bool((loaded["duke"] == model.wv["duke"]).all())
fresh = Word2Vec(min_count=1, vector_size=16, sample=0)
fresh.build_vocab([["king", "sky"]] * 9)
fresh.wv.vectors_lockf = np.ones(len(fresh.wv), np.float32)
fresh.wv.intersect_word2vec_format("vectors.txt", lockf=1.0)  # gensim's binary needs NumPy < 2.3
found["taken"] = bool((fresh.wv["king"] == loaded["king"]).all())
fresh.train([["king", "sky"]] * 9, total_examples=9, epochs=1)
loaded.save("kept.kv")
kept = KeyedVectors.load("kept.kv", mmap="r")
found["kept"] = [len(kept), kept.most_similar("duke")[:3] == loaded.most_similar("duke")[:3]]
print(json.dumps(found, default=lambda one: one.item()))
