"""FCN: do batches of images of mixed sizes train like one image at a time?

The posts trained one by one, as their images differ in size. Here runs of FCN-32s start from the
same random parameters, on the demo's scenes, at the demo's rate and at a tenth of it:

- batches of 8 images of mixed sizes, padded to one canvas;
- the same images in the same order, one by one, an update after each 8 (their exact gradient);
- the same batches, each in reverse: nothing but the rounding of sums differs;
- batches of 8 in another order of the images.

The distance of two runs is the norm of the difference of their parameters, over the norm of what
the first has moved since the start.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from matplotlib.figure import Figure

from experiments.findings.finding import Check, Finding, Part, Setting, interval
from jaxdl.devices.cpu_memory import reuse_temp_memory
from jaxdl.fcn.config import PRESETS, Config
from jaxdl.fcn.data.batches import BatchSource, choose_canvases, read_ahead
from jaxdl.fcn.dataset import Data, open_data, open_source
from jaxdl.fcn.metrics import compute_metrics, empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.start import VGG_MEAN, fresh_params
from jaxdl.fcn.task import make_evaluate, make_step
from jaxdl.report.plots import FOURTH, TEST, THIRD, TRAIN, style_axes
from jaxdl.training.optimizers import accumulate, learning_rate, momentum_sgd
from jaxdl.training.step import TrainState, start_state

SIZE = 8  # images of an update
UPDATES = 50
BATCHES, SINGLES = "mixed batches", "one by one"
REVERSED, ORDER = "in reverse", "another order"
COLOURS = {BATCHES: TRAIN, SINGLES: TEST, REVERSED: FOURTH, ORDER: THIRD}
RATES = {"the demo's rate": 1.0, "a tenth of it": 0.1}
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
    lab: Lab, seed: int, updates: Iterable[list[Any]], every: int, scale: float, total: int
) -> tuple[list[float], list[np.ndarray], float]:
    """A run of `UPDATES`: the loss before each, the parameters after each tenth, the test loss."""
    state, losses, kept = lab.start(fresh_params(lab.model, seed), every), [], []
    some = min(UPDATES, total)
    for number, images in enumerate(itertools.islice(updates, some)):
        metrics = empty_metrics(lab.model.num_classes)
        rate = learning_rate(
            number,
            peak=scale * lab.cfg.learning_rate[0],
            steps=total,
            warmup=lab.cfg.warmup,
            schedule=lab.cfg.schedule,
        )
        for batch in images:
            state, metrics, _ = lab.steps[every](state, metrics, batch, rate)
        losses.append(compute_metrics(metrics)["loss"])
        if (number + 1) % max(1, some // 10) == 0:
            kept.append(flat(state.params))
    result = lab.evaluate(state.params, read_ahead(lab.test))
    return losses, kept, result["loss"]


def flat(params: PyTree) -> np.ndarray:
    """All parameters in one array, float64."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)]).astype(np.float64)


def measure(setting: Setting, seeds: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Four runs of each seed at each rate."""
    lab = open_lab(setting)
    for seed in seeds:
        found: dict[str, Any] = {}
        for name, scale in RATES.items():
            setting.bar.line(f"seed {seed}: four runs at {name}")
            found[name] = at_rate(lab, seed, scale)
        yield seed, found


def at_rate(lab: Lab, seed: int, scale: float) -> dict[str, Any]:
    """The losses of four runs, and their distances from the first."""
    source, other = lab.mixed(seed), lab.mixed(1000 + seed)
    place = {lab.singles.rows(n)[0]: n for n in range(len(lab.singles))}
    alone = ([lab.singles[place[row]] for row in source.rows(n)] for n in range(len(source)))
    turned = ([jax.tree.map(lambda a: a[::-1], batch)] for batch in read_ahead(source))
    of = {
        BATCHES: (([batch] for batch in read_ahead(source)), 1),
        SINGLES: (alone, SIZE),
        REVERSED: (turned, 1),
        ORDER: (([batch] for batch in read_ahead(other)), 1),
    }
    runs = {name: train(lab, seed, *given, scale, len(source)) for name, given in of.items()}
    start, first = flat(fresh_params(lab.model, seed)), runs[BATCHES][1]
    return {
        "losses": {name: run[0] for name, run in runs.items()},
        "test": {name: run[2] for name, run in runs.items()},
        "distance": {
            name: [distance(*both, start) for both in zip(first, runs[name][1], strict=True)]
            for name in (SINGLES, REVERSED, ORDER)
        },
    }


def distance(one: np.ndarray, other: np.ndarray, start: np.ndarray) -> float:
    """How far two runs are apart, over how far the first has moved."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(one - start))


def judge(rows: list[dict[str, Any]]) -> list[Finding]:
    """Two findings: beside the order of the images, and beside rounding alone."""
    updates = len(rows[0][next(iter(RATES))]["losses"][BATCHES])
    table, likes, roundings = [], [], []
    for rate in RATES:
        found = [row[rate] for row in rows]
        far = {
            name: np.log10([row["distance"][name][-1] for row in found])
            for name in (SINGLES, REVERSED, ORDER)
        }
        likes.append(Check(rate, interval(far[ORDER] - far[SINGLES]), 1.0))
        roundings.append(Check(rate, interval(far[REVERSED] - far[SINGLES]), -0.3))
        for name in (BATCHES, SINGLES, REVERSED, ORDER):
            late = [np.mean(row["losses"][name][-updates // 5 :]) for row in found]
            test = [row["test"][name] for row in found]
            apart = interval(far[name]).text() if name in far else ""
            losses = (interval(values).text(3) for values in (late, test))
            table.append([f"{name}, {rate}", *losses, apart])
    columns = ["run", "loss, last fifth", "test loss", "log10 of the distance"]
    return [
        Finding(
            "Do batches of mixed sizes train like one image at a time?",
            f"After {updates} updates the parameters of both are less than a tenth as far apart as "
            "those of two orders of the images: log10 of the ratio is above 1, at both rates.",
            *(likes, columns, table),
        ),
        Finding(
            "Is it rounding alone that parts them?",
            "One by one is at most twice as far from the batches as the same batches in reverse: "
            "log10 of the ratio is above -0.3, at both rates.",
            *(roundings, columns, table),
        ),
    ]


def draw(rows: list[dict[str, Any]], figure: Figure) -> None:
    """For each rate the losses of the first seed, and the distances of all seeds."""
    for (left, right), rate in zip(figure.subplots(2, 2), RATES, strict=True):
        for name, values in rows[0][rate]["losses"].items():
            wide = {"lw": 2.5, "ls": ":"} if name == SINGLES else {"lw": 1.2}
            at = range(1, len(values) + 1)
            left.plot(at, values, color=COLOURS[name], label=name, **wide)
        for row in rows:
            for name, values in row[rate]["distance"].items():
                at = np.linspace(0, len(row[rate]["losses"][name]), len(values) + 1)[1:]
                label = name if row is rows[0] else None
                right.plot(at, values, "o-", ms=2, lw=1, color=COLOURS[name], label=label)
        left.set(xlabel="updates", ylabel=f"training loss, {rate}")
        right.set(xlabel="updates", ylabel="distance", yscale="log")
        for axes in (left, right):
            axes.legend(frameon=False, fontsize=8)
            style_axes(axes)


PART = Part(name="mixed", measure=measure, judge=judge, draw=draw, height=6.5)
