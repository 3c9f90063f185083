"""What the LSTM's options choose from; no jax is imported here, so that --help is fast."""

from typing import Literal

Mode = Literal["window", "carry"]
Cell = Literal["lstm", "gru"]  # of `jaxdl.lstm.model.CELLS`
ExportFormat = Literal["onnx", "page"]
Decimal = Literal["point", "comma"]
Missing = Literal["error", "interpolate", "ffill", "seasonal"]
Difference = Literal["auto", "none", "first", "seasonal"]
Log = Literal["auto", "none"]
