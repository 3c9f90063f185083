"""What word2vec's options choose from; no jax is imported here, so that --help is fast."""

from typing import Literal

Architecture = Literal["skip-gram", "cbow"]
Loss = Literal["negative-sampling", "hierarchical-softmax", "full-softmax"]
Orientation = Literal["center", "context"]
Shrink = Literal["each", "chainer", "fixed"]
Tokens = Literal["words", "split"]
