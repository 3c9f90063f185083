"""Writes what PyTorch's `nn.GRU` of two layers computes in float64, for `tests/lstm/test_gru.py`.

    make env-torch
    .venv-torch/bin/python tests/helpers/gru_fixture.py tests/fixtures/pytorch/gru.npz

Run by a Python that has PyTorch; it imports nothing of this project. The arrays have PyTorch's
names; those of gradients begin with ``grad_``. Their loss is sum(outputs * outputs_weight) +
sum(last * last_weight).
"""

import sys

import numpy as np
import torch  # pyrefly: ignore[missing-import]
from torch import nn  # pyrefly: ignore[missing-import]

STEPS, BATCH, INPUTS, HIDDEN, LAYERS = 7, 4, 2, 3, 2


def main(path: str) -> None:
    """The same bytes each time, with one version of PyTorch."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    network = nn.GRU(INPUTS, HIDDEN, LAYERS)
    x = torch.randn(STEPS, BATCH, INPUTS, requires_grad=True)
    first = torch.randn(LAYERS, BATCH, HIDDEN, requires_grad=True)
    outputs, last = network(x, first)
    weights = {"outputs_weight": torch.randn_like(outputs), "last_weight": torch.randn_like(last)}
    loss = (outputs * weights["outputs_weight"]).sum() + (last * weights["last_weight"]).sum()
    loss.backward()
    own = dict(network.named_parameters()) | {"x": x, "first": first}
    found = own | weights | {"outputs": outputs, "last": last}
    found |= {f"grad_{name}": array.grad for name, array in own.items()}
    np.savez(path, **{name: array.detach().numpy() for name, array in found.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
