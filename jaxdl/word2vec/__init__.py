"""word2vec: skip-gram and CBOW; negative sampling, hierarchical softmax, full softmax.

Public functions, enough for a training loop of one's own: `init` (tables), `apply` (scores), `loss`
(of a block), `make_step` (a jitted step), `evaluate` (mean loss of a pair). `KeyedVectors` are
words and their vectors, with gensim's methods; `Word2Vec` trains them as its class does, and
`phrases` joins the words of sentences that belong together.
"""

from jaxdl.lazy import lazily

__getattr__, __all__ = lazily(
    __name__,
    {
        "KeyedVectors": "keyed_vectors:KeyedVectors",
        "Objective": "objectives:Objective",
        "Tables": "model:Tables",
        "Word2Vec": "api:Word2Vec",
        "apply": "model:scores",
        "evaluate": "held_out:held_out_loss",
        "init": "model:init_tables",
        "keep_probability": "blocks:keep_probability",
        "loss": "objectives:loss",
        "make_step": "stream_step:make_step",
        "phrases": "data.sentences:phrases",
        "prepare": "blocks:prepare",
        "subsample": "blocks:subsample",
        "unigram_table": "negative_sampling:unigram_table",
    },
)
