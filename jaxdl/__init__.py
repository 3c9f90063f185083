"""jaxdl: FCN, word2vec and LSTM experiments of 2016, as pure functions of JAX and Flax linen.

`fcn`, `word2vec` and `lstm` have public functions for a training loop of one's own on arrays.
Importing them imports no JAX before one is used, and changes nothing in the process.
"""

from typing import Any

__all__ = [
    "Forecaster",
    "KeyedVectors",
    "Segmenter",
    "Word2Vec",
    "__version__",
    "digits",
    "fcn",
    "lstm",
    "word2vec",
]
_CLASSES = {
    "Forecaster": "jaxdl.lstm.forecaster",
    "KeyedVectors": "jaxdl.word2vec.keyed_vectors",
    "Segmenter": "jaxdl.fcn.segmenter",
    "Word2Vec": "jaxdl.word2vec.api",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("jaxdl-functional")
    if name in _CLASSES:
        return getattr(importlib.import_module(_CLASSES[name]), name)
    if name in __all__:
        return importlib.import_module(f"jaxdl.{name}")
    raise AttributeError(f"module 'jaxdl' has no attribute {name!r}")
