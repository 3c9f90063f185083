"""What ``jaxdl lstm train --data`` does: an ensemble in a run folder, judged, and read again."""

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from jax.sharding import Mesh
from rich.table import Table

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.mesh import gather_to_host, shard, shardings
from jaxdl.errors import InputError
from jaxdl.lstm import ensemble, fit
from jaxdl.lstm.backtest import COVERED
from jaxdl.lstm.config import Config
from jaxdl.lstm.dataset import Dataset
from jaxdl.lstm.measure import measure
from jaxdl.lstm.outcomes import by_size, training_summary
from jaxdl.lstm.saved import to_json
from jaxdl.lstm.setup import optimizer_of
from jaxdl.lstm.start import Start
from jaxdl.lstm.sweep import Members, batches, members_of, spread_members
from jaxdl.training import checkpoint, run_folder, session
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.step import TrainState

ROW = {
    "loss": {str: [(float, None)]},
    "validation": {str: [(float, None)]},
    "seconds?": float,
}
INTERVALS = 50  # between checkpoints


def setup_of(cfg: Config, series: Dataset, begin: Start | None = None) -> fit.Setup:
    """See `jaxdl.lstm.fit.prepare`."""
    lengths = series.lengths
    return fit.prepare(
        *(series.series.values, lengths.test_steps),
        period=lengths.period,
        window=lengths.window,
        horizon=max(lengths.horizon),
        difference=cfg.difference,
        log=cfg.log,
        like=None if begin is None else begin.setup,
    )


def describe(setup: fit.Setup) -> str:
    """The transform in a line."""
    log, lag, seasons = setup.transform
    if not lag:
        text = "no differences"
    elif lag == 1:
        text = "differences of successive rows"
    elif seasons == 1:
        text = f"differences from {lag} rows before"
    else:
        text = f"differences from the mean of the last {seasons} periods of {lag} rows"
    first, training, _ = setup.rows
    return (
        f"{text}{' of logarithms' if log else ''}; {training - first:,} of the rows to train on "
        "are for validation"
    )


def train_ensemble(
    cfg: Config,
    series: Dataset,
    setup: fit.Setup,
    begin: Start | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any] | None:
    """Train, and judge; returns the summary's part (process 0 alone)."""
    members = members_of(cfg.hidden, range(cfg.seeds))
    task = ensemble_task(cfg, series, setup, begin, members, mesh)
    state = session.train(task, cfg.out, mesh=mesh, reporter=bar).state
    params = gather_to_host(state.params, shardings(None, mesh))
    if not processes.is_main_process():
        return None
    values = series.series.values
    fitted = fit.conclude(setup, members, params["best"], params["error"], values)
    rows = run_folder.recorded_rows(cfg.out / "metrics.jsonl", ROW)
    return training_summary(cfg, rows) | {
        "forecast": to_json(fitted) | {"test": measure(fitted, values)}
    }


def ensemble_task(
    cfg: Config,
    series: Dataset,
    setup: fit.Setup,
    begin: Start | None,
    members: Members,
    mesh: Mesh | None,
) -> Task:
    """What an ensemble brings to `jaxdl.training.session.train`; its step is `--log-every`."""
    layout, every = shardings(None, mesh), cfg.log_every
    optimizer = optimizer_of(cfg)
    data = fit.data_of(setup, series.series.values)
    data = shard(data, layout and layout.replicated)
    columns, count = len(series.series.names), cfg.steps // every
    drawn = {"seed": cfg.seed, "epochs": every, "batch": cfg.batch_size, "spans": setup.spans}

    def start(resumed: bool) -> TrainState:
        sizes = {"columns": columns, "layers": cfg.layers, "cell": cfg.cell}
        given = begin and begin.params
        fresh = ensemble.start(cfg.seed, members, optimizer, **sizes, given=given)
        return spread_members(fresh, mesh)

    def metrics() -> Any:
        zero = ensemble.zero_metrics(INTERVALS, members)
        return shard(zero, layout and layout.replicated)

    def end_epoch(epoch: Epoch) -> EpochReport:
        first = (epoch.done - 1) // INTERVALS * INTERVALS
        found = gather_to_host(epoch.metrics, layout).astype(np.float64)[: epoch.done - first]
        rows: dict[int, dict[str, Any]] = {
            first + n + 1: {
                "loss": by_size(members, losses),
                "validation": by_size(members, errors),
            }
            for n, (losses, errors) in enumerate(found)
        }
        rows[epoch.done] |= {"seconds": epoch.elapsed}
        last = rows[epoch.done]["validation"]
        shown = ", ".join(f"{n}: {median(own):.3f}" for n, own in last.items())
        line = f"step {epoch.done * every} of {cfg.steps}: validation error by size {shown}"
        return EpochReport(rows, float(found[-1][0].mean()), line)

    return Task(
        step=ensemble.ensemble_step(
            optimizer,
            window=setup.window,
            horizon=setup.horizon,
            transform=setup.transform,
            mesh=mesh,
        ),
        start=start,
        metrics=metrics,
        batches=lambda n: batches(data, members, n, **drawn, mesh=mesh),
        steps=count,
        ends=lambda done: done % INTERVALS == 0,
        end_epoch=end_epoch,
        learning_rate=lambda n: fit.rate_at(n, count, cfg.learning_rate),
        describe=lambda n: f"steps {n * every} to {(n + 1) * every}",
        score=checkpoint.Score("loss", larger_is_better=False),
        meta={
            "hidden": list(cfg.hidden),
            "seeds": cfg.seeds,
            "layers": cfg.layers,
            "cell": cfg.cell,
            "columns": list(series.series.names),
        },
        row=ROW,
        counts=every,
        items=every,
        unit="steps",
    )


def verdict(found: dict[str, Any]) -> str:
    """Whether the networks beat the seasonal naive forecast, and by how much: one sentence."""
    methods = found["test"]["methods"]
    name = "seasonal naive" if found["setup"]["period"] > 1 else "last value"
    ratio = methods["networks"]["total"]["mase"] / max(methods["naive"]["total"]["mase"], 1e-300)
    steps = f"on the {_count(found)} held-out steps"
    who, beat, err = "The networks", "beat", "they err"
    if found["unlearnt"]:
        who, beat, err = "The mean change alone", "beats", "it errs"
    if ratio < 1:
        text = f"{who} {beat} the {name} forecast by {100 * (1 - ratio):.0f} % {steps}"
    else:
        beat = "does not beat" if found["unlearnt"] else "do not beat"
        text = f"{who} {beat} the {name} forecast {steps}: {err} {ratio:.2f} times as much"
    if found["unlearnt"]:
        text += "; validation preferred it to all that the networks learnt"
    if found["naive"]:
        text += f". Validation preferred the {name} forecast, so predict uses that"
    return text + " (mean absolute error)."


def _count(found: dict[str, Any]) -> int:
    _, training, rows = found["setup"]["rows"]
    return rows - training


def tell(summary: dict[str, Any], bar: Bar) -> None:
    """The results, as a table."""
    run = summary["lstm_sine"]
    found = run["forecast"]
    table = Table(title=f"{found['test']['origins']} origins in the held-out steps")
    for name in ("forecast", "RMSE", "MAE", "MASE"):
        table.add_column(name, justify="right")
    for name, method in found["test"]["methods"].items():
        total = method["total"]
        cells = (", ".join(f"{v:.4g}" for v in total[key]) for key in ("rmse", "mae"))
        table.add_row(name, *cells, f"{total['mase']:.3f}")
    bar.console.print(table)
    bar.line(verdict(found))
    covered = found["test"]["coverage"]["total"]
    bar.line(f"the {COVERED:.0%} band covers {covered:.0%} of the held-out steps")
    bar.line(f"{run['seconds']:.1f} s of training")


def pick(fitted: fit.Fitted, network: str | None, run: Path) -> list[int] | None:
    """Members of ``--network``: best, SIZE or SIZE:SEED; None for the ensemble.

    Raises:
        InputError: the run has no such network.
    """
    if network is None:
        return None
    if network == "best":
        return [int(np.argmin(fitted.errors))]
    units, seeds = fitted.members
    size, _, seed = network.partition(":")
    if size.isdecimal() and (seed.isdecimal() or not seed):
        chosen = (units == int(size)) & ((seeds == int(seed)) if seed else True)
        if chosen.any():
            return np.flatnonzero(chosen).tolist()
    sizes = ", ".join(map(str, dict.fromkeys(units.tolist())))
    raise InputError(
        f"--network {network}: {run} has sizes {sizes}, seeds 0 to {int(seeds.max())}; "
        "give best, SIZE or SIZE:SEED"
    )


def who(fitted: fit.Fitted, picked: list[int] | None) -> str:
    """Who forecasts, in words; `picked` is of `pick`."""
    units, seeds = fitted.members
    if picked is not None:
        return ", ".join(f"{units[n]}:{seeds[n]}" for n in picked) + " (hidden units:seed)"
    if fitted.naive:
        known = "the seasonal naive forecast" if fitted.setup.period > 1 else "the last value"
        return f"{known}, which the validation part preferred to the networks"
    if fitted.unlearnt:
        preferred = "which the validation part preferred to all that the networks learnt"
        return f"the mean change alone, {preferred}"
    sizes = ", ".join(map(str, fitted.sizes))
    return f"the median of {len(fit.kept(fitted))} networks (sizes {sizes})"
