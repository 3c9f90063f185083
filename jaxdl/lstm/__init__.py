"""The LSTM and its sweeps.

Public functions, enough for a training loop of one's own: `init` (parameters), `apply` (outputs),
`loss`, `make_step` (a jitted step of a sweep), `evaluate` (error by distance).
"""

from jaxdl.lazy import lazily

__getattr__, __all__ = lazily(
    __name__,
    {
        "LSTM": "model:LSTM",
        "apply": "model:forward",
        "batches": "sweep:batches",
        "evaluate": "forecast:evaluate",
        "init": "model:init_params",
        "loss": "sweep:loss",
        "make_step": "sweep:sweep_step",
        "members_of": "sweep:members_of",
        "start_sweep": "sweep:start_sweep",
        "zero_losses": "sweep:zero_losses",
    },
)
