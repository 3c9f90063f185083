"""The names of the learning rate's schedules; no jax is imported here, so that --help is fast."""

from typing import Literal

Schedule = Literal["constant", "cosine", "linear", "poly"]
