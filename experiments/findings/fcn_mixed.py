"""FCN: do batches of images of mixed sizes train like one image at a time?

The posts trained one by one, as their images differ in size. Here three runs of FCN-32s start from
the same parameters, on the demo's scenes:

- batches of 8 images of mixed sizes, padded to one canvas;
- the same images in the same order, one by one, an update after each 8 (their exact gradient);
- batches of 8 in another order.

The distance of two runs is the norm of the difference of their parameters, over the norm of what
the first has moved since the start.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from matplotlib.figure import Figure

from experiments.findings.finding import Check, Finding, Part, Setting, interval
from jaxdl.devices.cpu_memory import reuse_temp_memory
from jaxdl.fcn.config import PRESETS, Config
from jaxdl.fcn.data.batches import Batch, BatchSource, Stored, choose_canvases, read_ahead
from jaxdl.fcn.dataset import Data, open_data, open_source
from jaxdl.fcn.metrics import compute_metrics, empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.start import VGG_MEAN, fresh_params
from jaxdl.fcn.task import make_evaluate, make_step
from jaxdl.report.plots import TEST, THIRD, TRAIN, style_axes
from jaxdl.training.optimizers import accumulate, learning_rate, momentum_sgd
from jaxdl.training.step import TrainState, start_state

SIZE = 8  # images of an update
BATCHES, SINGLES, ORDER = "mixed batches", "one by one", "another order"
COLOURS = {BATCHES: TRAIN, SINGLES: TEST, ORDER: THIRD}
QUICK = {"scenes": (24, 6), "width_divisor": 64, "warmup": 1}


class Lab(NamedTuple):
    """What the runs of all seeds share: data, and compiled programs."""

    cfg: Config
    data: Data
    model: FCN
    start: Callable[[PyTree, int], TrainState]  # of parameters, updated once in so many images
    steps: dict[int, Any]
    evaluate: Callable[[PyTree, Any], dict[str, Any]]
    test: BatchSource
    singles: BatchSource

    def mixed(self, seed: int) -> BatchSource:
        """Batches of mixed sizes, in a random order."""
        canvas = choose_canvases(self.data.examples.sizes, 1)
        rows = self.data.rows("train")
        return BatchSource(
            self.data.examples, rows, canvas, SIZE, seed=seed, kept=self.data.decoded
        )


def open_lab(setting: Setting) -> Lab:
    """The demo's scenes, network and optimiser."""
    given: dict[str, Any] = QUICK if setting.quick else {}
    cfg = dataclasses.replace(PRESETS["demo"], data_dir=setting.data_dir, **given)
    data = open_data(cfg, *open_source(cfg, setting.bar), setting.bar)
    model, mean = FCN(32, len(data.classes), cfg.width_divisor), jnp.asarray(VGG_MEAN)
    sgd = momentum_sgd(
        momentum=cfg.momentum, weight_decay=cfg.weight_decay, clip_norm=cfg.clip_norm
    )
    optimizers = {every: accumulate(sgd, every) for every in (1, SIZE)}
    steps = {
        every: reuse_temp_memory(make_step(model, optimizer, mean=mean))
        for every, optimizer in optimizers.items()
    }
    rest: dict[str, Any] = {"seed": None, "kept": data.decoded}
    canvas = choose_canvases(data.examples.sizes, 1)
    return Lab(
        *(cfg, data, model, lambda params, every: start_state(params, optimizers[every]), steps),
        evaluate=make_evaluate(model, mean),
        test=BatchSource(data.examples, data.rows("test"), canvas, SIZE, **rest),
        singles=BatchSource(data.examples, data.rows("train"), data.canvases, 1, **rest),
    )


def train(
    lab: Lab, seed: int, updates: Iterator[list[Batch | Stored]], every: int, total: int
) -> tuple[list[float], list[np.ndarray], float]:
    """A run: the loss before each update, the parameters after each tenth part, the test loss."""
    state, losses, kept = lab.start(fresh_params(lab.model, seed), every), [], []
    for number, images in enumerate(updates):
        metrics = empty_metrics(lab.model.num_classes)
        rate = learning_rate(
            number,
            peak=lab.cfg.learning_rate[0],
            steps=total,
            warmup=lab.cfg.warmup,
            schedule=lab.cfg.schedule,
        )
        for batch in images:
            state, metrics, _ = lab.steps[every](state, metrics, batch, rate)
        losses.append(compute_metrics(metrics)["loss"])
        if (number + 1) % max(1, total // 10) == 0:
            kept.append(flat(state.params))
    result = lab.evaluate(state.params, read_ahead(lab.test))
    return losses, kept, result["loss"]


def flat(params: PyTree) -> np.ndarray:
    """All parameters in one array, float64."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)]).astype(np.float64)


def measure(setting: Setting, seeds: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Three runs of each seed, an epoch each."""
    lab = open_lab(setting)
    place = {lab.singles.rows(n)[0]: n for n in range(len(lab.singles))}
    for seed in seeds:
        setting.bar.line(f"seed {seed}: batches of mixed sizes, one by one, another order")
        source, other = lab.mixed(seed), lab.mixed(1000 + seed)
        total = len(source)
        alone = ([lab.singles[place[row]] for row in source.rows(n)] for n in range(total))
        runs = {
            BATCHES: train(lab, seed, ([b] for b in read_ahead(source)), 1, total),
            SINGLES: train(lab, seed, alone, SIZE, total),
            ORDER: train(lab, seed, ([b] for b in read_ahead(other)), 1, total),
        }
        start, first = flat(fresh_params(lab.model, seed)), runs[BATCHES][1]
        yield (
            seed,
            {
                "updates": total,
                "losses": {name: run[0] for name, run in runs.items()},
                "test": {name: run[2] for name, run in runs.items()},
                "distance": {
                    name: [
                        distance(*three, start) for three in zip(first, runs[name][1], strict=True)
                    ]
                    for name in (SINGLES, ORDER)
                },
            },
        )


def distance(one: np.ndarray, other: np.ndarray, start: np.ndarray) -> float:
    """How far two runs are apart, over how far the first has moved."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(one - start))


def judge(rows: list[dict[str, Any]]) -> list[Finding]:
    """One finding: batching changes far less than the order of the images does."""
    updates = rows[0]["updates"]
    ratio = [np.log10(row["distance"][ORDER][-1] / row["distance"][SINGLES][-1]) for row in rows]

    def losses(name: str) -> np.ndarray:
        return np.array([row["losses"][name] for row in rows])

    table = []
    for name in (SINGLES, ORDER):
        apart = np.abs(losses(name) - losses(BATCHES)).mean(1)
        test = [abs(row["test"][name] - row["test"][BATCHES]) for row in rows]
        far = np.log10([row["distance"][name][-1] for row in rows])
        table.append([name, *(interval(v).text(4) for v in (apart, test)), interval(far).text(2)])
    return [
        Finding(
            "Do batches of mixed sizes train like one image at a time?",
            f"After {updates} updates the parameters of both are less than a tenth as far apart as "
            "those of two orders of the images: log10 of the ratio is above 1.",
            [Check("log10 of the ratio of the distances", interval(ratio), 1.0)],
            ["beside mixed batches", "training loss", "test loss", "log10 of the distance"],
            table,
        )
    ]


def draw(rows: list[dict[str, Any]], figure: Figure) -> None:
    """The losses of the first seed's runs; the distances of all seeds."""
    left, right = figure.subplots(1, 2)
    dashes = {BATCHES: "-", SINGLES: ":", ORDER: "-"}
    for name, values in sorted(rows[0]["losses"].items(), key=lambda item: item[0] == SINGLES):
        left.plot(range(1, len(values) + 1), values, dashes[name], color=COLOURS[name], label=name,
                  lw=2.5 if name == SINGLES else 1.2)  # fmt: skip
    for row in rows:
        for name, values in row["distance"].items():
            at = np.linspace(0, row["updates"], len(values) + 1)[1:]
            label = name if row is rows[0] else None
            right.plot(at, values, "o-", ms=3, lw=1, color=COLOURS[name], label=label)
    left.set(xlabel="updates", ylabel="training loss, one seed")
    right.set(xlabel="updates", ylabel="distance from mixed batches", yscale="log")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9)
        style_axes(axes)


PART = Part(name="mixed", measure=measure, judge=judge, draw=draw)
