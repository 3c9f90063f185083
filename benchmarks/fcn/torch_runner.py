"""PyTorch's side of the FCN benchmark: answers the parent's calls with the seconds of its batches.

Run by a Python that has PyTorch; of this project it imports two small files that need no package.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch  # pyrefly: ignore[missing-import]
import torch.nn.functional as F  # pyrefly: ignore[missing-import]
from torch import nn  # pyrefly: ignore[missing-import]

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.process import forget_peak, own_peak_mb
from jaxdl.devices.heap import keep_freed_memory

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
MEAN = (123.68, 116.779, 103.939)


def bilinear(stride: int):
    """The one-axis kernel, 2 * stride taps."""
    at = torch.arange(2 * stride, dtype=torch.float64)
    return 1 - (at + 0.5 - stride).abs() / stride


class Upsample(nn.Module):
    """Fixed bilinear upsampling, exactly aligned, in one of three forms of the same numbers.

    `depthwise`: a transposed convolution, one kernel a class. `separable`: its rows, then its
    columns. `dense`: a kernel (classes, classes, 2s, 2s), zero off the diagonal, as the peers do.
    """

    def __init__(self, stride: int, classes: int, form: str) -> None:
        super().__init__()
        taps = bilinear(stride).float()
        self.stride, self.classes, self.form = stride, classes, form
        square = taps[:, None] * taps
        if form == "dense":
            kernel = torch.zeros(classes, classes, *square.shape)
            kernel[range(classes), range(classes)] = square
        else:
            kernel = square.expand(classes, 1, -1, -1).contiguous()
        self.register_buffer("kernel", kernel)
        self.register_buffer("rows", taps.reshape(1, 1, -1, 1).expand(classes, -1, -1, -1).clone())

    def forward(self, x, size):
        s, groups = self.stride, 1 if self.form == "dense" else self.classes
        pad = s // 2
        if self.form == "separable":
            x = F.conv_transpose2d(x, self.rows, None, (s, 1), groups=groups)
            x = x[:, :, pad : pad + size[0]]
            columns = self.rows.transpose(2, 3)
            x = F.conv_transpose2d(x, columns, None, (1, s), groups=groups)
            return x[:, :, :, pad : pad + size[1]]
        x = F.conv_transpose2d(x, self.kernel, None, s, groups=groups)
        return x[:, :, pad : pad + size[0], pad : pad + size[1]]


class Network(nn.Module):
    """The posts' FCN: VGG-16's convolutions, ceil-mode pooling, 1x1 scores, fixed upsampling."""

    def __init__(self, stride: int, classes: int, width: int, form: str) -> None:
        super().__init__()
        self.stride, self.names, channels = stride, [], 3
        for block, (features, count) in enumerate(BLOCKS, 1):
            for number in range(1, count + 1):
                name = f"conv{block}_{number}"
                layer = nn.Conv2d(channels, features // width, 3, padding=1)
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
                self.add_module(name, layer)
                self.names.append(name)
                channels = features // width
        with torch.no_grad():
            self.conv1_1.weight /= 64  # its input are bytes
        self.upsampling, self.doubling = (Upsample(s, classes, form) for s in (stride, 2))
        level = 5
        while True:
            features = BLOCKS[level - 1][0] // width
            self.add_module(f"score_pool{level}", nn.Conv2d(features, classes, 1))
            if 2**level == stride:
                break
            level -= 1

    def forward(self, images):
        x, pools = images, {}
        for name in self.names:
            x = F.relu(getattr(self, name)(x))
            block = int(name[4])
            if name.endswith(str(BLOCKS[block - 1][1])):
                x = F.max_pool2d(x, 2, 2, ceil_mode=True)
                pools[block] = x
        level = 5
        y = self.score_pool5(pools[5])
        while 2**level > self.stride:
            level -= 1
            skip = getattr(self, f"score_pool{level}")(pools[level])
            y = skip + self.doubling(y, skip.shape[2:])
        return self.upsampling(y, images.shape[2:])


def compare(network, path: str) -> float:
    """Largest difference to the other side's logits, loss and gradients; each over its largest."""
    kept = np.load(path)
    with torch.no_grad():
        for name, value in network.named_parameters():
            ours = kept[f"param_{name.replace('weight', 'kernel')}"]
            value.copy_(torch.from_numpy(ours.transpose(3, 2, 0, 1) if ours.ndim == 4 else ours))
    logits = network(prepare(kept["images"], torch.contiguous_format))
    loss = loss_of(logits, torch.from_numpy(kept["labels"]).long())
    loss.backward()
    pairs = [(logits, torch.from_numpy(kept["logits"].transpose(0, 3, 1, 2)))]
    pairs.append((loss, torch.tensor(float(kept["loss"]))))
    for name, value in network.named_parameters():
        ours = kept[f"grad_{name.replace('weight', 'kernel')}"]
        ours = torch.from_numpy(ours.transpose(3, 2, 0, 1) if ours.ndim == 4 else ours)
        pairs.append((value.grad, ours))
    network.zero_grad()
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def prepare(images, memory):
    """Bytes to the network's input."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    x = x - torch.tensor(MEAN)[None, :, None, None]
    return x.contiguous(memory_format=memory)


def loss_of(logits, labels):
    """Mean over the pixels that are not void."""
    return F.cross_entropy(logits, labels, ignore_index=255)


def main() -> None:
    """The command line: no defaults, the benchmark gives every value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=["step", "predict"], required=True)
    for name in ("stride", "width", "threads", "classes"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--form", choices=["depthwise", "separable", "dense"], required=True)
    parser.add_argument("--memory", choices=["contiguous", "channels_last"], required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--keep-memory", action="store_true")
    parser.add_argument("--work", required=True)
    parser.add_argument("--compare")
    args = parser.parse_args()
    if args.keep_memory:
        keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    memory = getattr(torch, {"contiguous": "contiguous_format"}.get(args.memory, args.memory))
    network = Network(args.stride, args.classes, args.width, args.form)
    difference = compare(network, args.compare) if args.compare else None
    network = network.to(memory_format=memory)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9)
    kept = np.load(args.work)
    count = sum(name.startswith("images_") for name in kept)
    batches = [(kept[f"images_{n}"], kept[f"labels_{n}"]) for n in range(count)]
    run = torch.compile(network) if args.compile else network

    def train(images, labels):
        optimizer.zero_grad()
        loss = loss_of(run(prepare(images, memory)), torch.from_numpy(labels).long())
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def predict(images, labels):
        return run(prepare(images, memory)).argmax(1)

    call = train if args.what == "step" else predict
    begin = time.perf_counter()
    for batch in {batch[0].shape: batch for batch in batches}.values():
        call(*batch)
    start = time.perf_counter() - begin
    head = {"version": torch.__version__, "start_s": start, "difference": difference}
    print(json.dumps(head | {"start_peak_mb": own_peak_mb()}), flush=True)
    forget_peak()
    for line in sys.stdin:
        first, last = map(int, line.split())
        begin, cpu = time.perf_counter(), time.process_time()
        for batch in batches[first:last]:
            call(*batch)
        found = {"seconds": time.perf_counter() - begin, "cpu_s": time.process_time() - cpu}
        print(json.dumps(found | {"peak_mb": own_peak_mb()}), flush=True)


if __name__ == "__main__":
    main()
