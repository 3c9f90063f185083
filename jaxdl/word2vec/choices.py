"""What word2vec's options choose from; no jax is imported here, so that --help is fast."""

from typing import Literal

Architecture = Literal["skip-gram", "cbow"]
Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "shift_jis", "euc_jp", "gb18030", "latin-1"
]
Loss = Literal["negative-sampling", "hierarchical-softmax", "full-softmax"]
Orientation = Literal["center", "context"]
Shrink = Literal["each", "chainer", "fixed"]
Tokens = Literal["words", "split", "ja"]
