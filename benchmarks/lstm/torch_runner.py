"""PyTorch's side of the LSTM benchmark: `nn.LSTM` of each size in turn; prints JSON at the end.

Run by a Python that has PyTorch; it imports nothing of this project.
"""

import argparse
import json
import time

import numpy as np
import torch  # pyrefly: ignore[missing-import]
from torch import nn  # pyrefly: ignore[missing-import]


class Network(nn.Module):
    """LSTM and linear readout; every step is read out."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, hidden)
        self.readout = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.readout(self.lstm(x)[0])


def train(hidden: int, series, args: argparse.Namespace) -> dict[str, float]:
    """Seconds, and the last loss."""
    torch.manual_seed(args.seed)
    network, loss_of = Network(hidden), nn.MSELoss()
    if args.optimizer == "adam":
        optimizer = torch.optim.Adam(network.parameters(), lr=args.learning_rate)
    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=args.learning_rate, momentum=0.9)
    offsets = torch.arange(args.window + 1)[:, None]
    start = time.perf_counter()
    for _ in range(args.steps):
        first = torch.randint(len(series) - args.window, (1, args.batch))
        windows = series[first + offsets]
        optimizer.zero_grad()
        loss = loss_of(network(windows[:-1]), windows[1:])
        loss.backward()
        optimizer.step()
    return {"hidden": hidden, "seconds": time.perf_counter() - start, "loss": loss.item()}


def compare(path: str) -> float:
    """Largest difference to the other side's outputs, states and gradients, in float64."""
    kept = np.load(path)
    hidden = kept["recurrent"].shape[1]
    network = Network(hidden).double()

    def turned(gates):  # theirs are i, f, g, o; the file's g, i, f, o
        g, i, f, o = np.split(gates, 4)
        return torch.from_numpy(np.concatenate([i, f, g, o]))

    with torch.no_grad():
        network.lstm.weight_ih_l0.copy_(turned(kept["input"]))
        network.lstm.weight_hh_l0.copy_(turned(kept["recurrent"]))
        network.lstm.bias_ih_l0.copy_(turned(kept["bias"]))
        network.lstm.bias_hh_l0.zero_()
        network.readout.weight.copy_(torch.from_numpy(kept["kernel"].T))
        network.readout.bias.copy_(torch.from_numpy(kept["readout_bias"]))
    x, target = torch.from_numpy(kept["x"]), torch.from_numpy(kept["target"])
    states, (h, c) = network.lstm(x)
    outputs = network.readout(states)
    nn.MSELoss()(outputs, target).backward()
    pairs = [
        (outputs, torch.from_numpy(kept["outputs"])),
        (h[0], torch.from_numpy(kept["h"])),
        (c[0], torch.from_numpy(kept["c"])),
        (network.lstm.weight_ih_l0.grad, turned(kept["grad_input"])),
        (network.lstm.weight_hh_l0.grad, turned(kept["grad_recurrent"])),
        (network.lstm.bias_ih_l0.grad, turned(kept["grad_bias"])),
        (network.readout.weight.grad.T, torch.from_numpy(kept["grad_kernel"])),
    ]
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


def main() -> None:
    """The command line: no defaults, the benchmark gives every value."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("hidden", "steps", "batch", "window", "seed", "threads"):
        nargs = "+" if name == "hidden" else None
        parser.add_argument(f"--{name}", type=int, required=True, nargs=nargs)
    parser.add_argument("--optimizer", choices=["momentum", "adam"], required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--series", required=True)
    parser.add_argument("--compare", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    series = torch.from_numpy(np.load(args.series))
    difference = compare(args.compare)
    runs = [train(hidden, series, args) for hidden in args.hidden]
    print(json.dumps({"difference": difference, "runs": runs, "version": torch.__version__}))


if __name__ == "__main__":
    main()
