"""What the LSTM's options choose from; no jax is imported here, so that --help is fast."""

from typing import Literal

Mode = Literal["window", "carry"]
