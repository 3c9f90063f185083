"""LSTMs of 2, 3, 4 and 5 hidden units learn a sine, and continue it in closed loop.

    python -m experiments.lstm_sine      about 12 seconds on 2 CPU cores

The 2016 post asks how many units suffice. All sizes and eight seeds of each train as one program.
Expect a log10 loss of about -3.1 for 2 units and -3.3 from 3 units on. This script ends in the
same bits as `jaxdl lstm train`, on the same number of devices.
"""

from statistics import median

import jax.numpy as jnp
import numpy as np

from experiments import start
from jaxdl.cli.progress import Bar
from jaxdl.devices.mesh import core_mesh, gather_to_host, shard, shardings
from jaxdl.lstm import sweep
from jaxdl.lstm.config import PRESETS, Config
from jaxdl.lstm.dataset import open_series
from jaxdl.lstm.forecast import predict
from jaxdl.lstm.outcomes import by_size
from jaxdl.lstm.series import to_float32
from jaxdl.training import checkpoint, session
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.optimizers import momentum_sgd
from jaxdl.training.step import TrainState

KEPT = 50  # steps of the task between two checkpoints


def experiment(cfg: Config = PRESETS["post"]) -> dict[str, float]:
    """Train the sweep in ``cfg.out``; returns each size's median error of the continued sine."""
    series, every, bar = open_series(cfg), cfg.log_every, Bar()
    members = sweep.members_of(cfg.hidden, range(cfg.seeds))
    mesh = core_mesh(len(members.units))  # the networks are spread over the cores
    layout = shardings(None, mesh)
    values = shard(jnp.asarray(to_float32(series.training)), layout and layout.replicated)
    optimizer, window = momentum_sgd(momentum=cfg.momentum), series.lengths.window
    step = sweep.sweep_step(optimizer, window=window, mesh=mesh, sizes=cfg.hidden)
    drawn = {"seed": cfg.seed, "epochs": every, "batch": cfg.batch_size}
    spans = len(series.training) - window  # where a window can start

    def begin(resumed: bool) -> TrainState:
        fresh = sweep.start_sweep(cfg.seed, members, optimizer, layers=cfg.layers)
        return sweep.spread_members(fresh, mesh)

    def end_epoch(epoch: Epoch) -> EpochReport:
        """A row for each step since the last checkpoint: the mean loss of each network."""
        losses = gather_to_host(epoch.metrics, layout).astype(np.float64)
        losses = losses.reshape(KEPT, every, -1).mean(1)
        first = (epoch.done - 1) // KEPT * KEPT
        rows = {
            first + n + 1: {"loss": by_size(members, losses[n])} for n in range(epoch.done - first)
        }
        last = losses[epoch.done - first - 1]
        sizes = by_size(members, np.log10(last))
        line = ", ".join(f"{units} units {median(own):.2f}" for units, own in sizes.items())
        return EpochReport(rows, float(last.mean()), f"log10 loss: {line}")

    task = Task(
        step=step,
        start=begin,
        metrics=lambda: sweep.spread_losses(sweep.zero_losses(KEPT, every, members), mesh),
        batches=lambda n: sweep.batches(values, members, n, **drawn, spans=spans, mesh=mesh),
        steps=cfg.steps // every,
        ends=lambda done: done % KEPT == 0,
        end_epoch=end_epoch,
        learning_rate=lambda n: cfg.learning_rate,
        describe=lambda n: f"steps {n * every} to {(n + 1) * every}",
        score=checkpoint.Score("loss", larger_is_better=False),
        meta={"hidden": list(cfg.hidden), "seeds": cfg.seeds, "layers": cfg.layers},
        counts=every,
    )
    params = gather_to_host(
        session.train(task, cfg.out, mesh=mesh, reporter=bar).state.params, layout
    )

    # Closed loop: each prediction is the next input. The truth is the sine that goes on.
    known = jnp.asarray(to_float32(series.training[-window:]))[:, None]
    steps = min(cfg.horizon[0], len(series.tail))
    continued = predict(params, known, length=steps, way="carry")[:, :, 0]
    errors = np.square(np.asarray(continued) - series.tail[None, :steps]).mean((1, 2))
    found = {units: median(own) for units, own in by_size(members, errors).items()}
    for units, error in found.items():
        bar.line(f"{units} units: squared error of {steps} predicted steps {error:.5f}")
    return found


if __name__ == "__main__":
    start(experiment, PRESETS["post"], "jaxdl lstm train")
