"""Fully convolutional networks: FCN-32s, 16s, 8s.

Public functions, enough for a training loop of one's own: `init` (parameters), `apply` (logits),
`loss`, `make_step` (a jitted step), `make_evaluate` (metrics), `make_predict` (classes).
"""

from jaxdl.lazy import lazily

__getattr__, __all__ = lazily(
    __name__,
    {
        "FCN": "models.fcn:FCN",
        "Segmenter": "segmenter:Segmenter",
        "Batch": "data.batches:Batch",
        "apply": "task:apply",
        "init": "models.fcn:init",
        "loss": "task:loss",
        "make_evaluate": "task:make_evaluate",
        "make_predict": "task:make_predict",
        "make_step": "task:make_step",
        "empty_metrics": "metrics:empty_metrics",
    },
)
