"""Part 5: the LSTM sweep with 4 and 32 networks, and cuDNN's LSTM, one network at a time."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.gpu import planned
from benchmarks.gpu.record import Recorder, measure, rates
from jaxdl.lstm import plan
from jaxdl.lstm.series import sine, to_float32
from jaxdl.lstm.sweep import batches, members_of, start_sweep, sweep_step, zero_losses
from jaxdl.planner import plan as planner_plan
from jaxdl.planner.cards import Card
from jaxdl.planner.hlo_cost import read_program
from jaxdl.training import optimizers

SIZES, BATCH, WINDOW, EPOCHS = (2, 3, 4, 5), 32, 50, 100  # an epoch is one mini-batch
CUDNN = "cuDNN's LSTM, 1 network of 5 units"


def series() -> Any:
    """The post's sine, (steps, 1)."""
    return jnp.asarray(to_float32(sine()))


def sweep(recorder: Recorder, seeds: int, card: Card | None) -> None:
    """Networks of four sizes, `seeds` of each, as one program."""
    epochs = 10 if recorder.quick else EPOCHS
    abstract = plan.lstm(SIZES, seeds, epochs, BATCH, window=WINDOW)
    members = members_of(SIZES, range(seeds))
    count = len(members.units)
    row = planned.row(lambda: planner_plan.sweep(abstract, count, 1), card, "float32")
    optimizer, values = optimizers.momentum_sgd(), series()
    step: Any = sweep_step(optimizer, window=WINDOW)
    drawn = {"seed": 0, "epochs": epochs, "batch": BATCH, "spans": len(values) - WINDOW}
    batch = next(batches(values, members, 0, **drawn))
    carried = [
        start_sweep(0, members, optimizer),
        zero_losses(1, epochs, members),
    ]
    rate = jnp.float32(0.05)
    begin = time.perf_counter()
    compiled = step.lower(*carried, batch, rate).compile()
    compile_s = time.perf_counter() - begin

    def call() -> Any:
        carried[0], carried[1], loss = compiled(*carried, batch, rate)
        return loss

    timing = measure(call, 0.2 if recorder.quick else 1.0)
    if not np.isfinite(np.asarray(carried[1])).all():
        raise ArithmeticError("a loss is not finite")
    launches = read_program(compiled.as_text()).launches
    epoch_us = timing.median / epochs * 1e6
    about = {"networks": count, "compile_s": compile_s, "launches": launches}
    about |= {"seconds": timing.median, "epoch_us": epoch_us}
    note = f"compiled in {compile_s:.1f} s; {epoch_us:,.0f} us an epoch of all"
    what, per_s = f"{count} networks", None if row is None else row.per_s
    recorder.rate(what, "network epochs/s", count * epochs, timing, per_s, note=note, **about)
    note = f"{timing.median / launches * 1e6:.2f} us each, all in all"
    each, kernels = launches / epochs, None if row is None else row.kernels / epochs
    recorder.row(f"{what}: launches an epoch", "launches", each, kernels, note=note, **about)


def cudnn(recorder: Recorder, device: Any) -> None:
    """Forward, backward and a plain step of one network by `jax.experimental.rnn`."""
    if device.platform != "gpu":
        recorder.skip(CUDNN, "needs a GPU")
        return
    from jax.experimental import rnn

    hidden, windows = max(SIZES), series()
    starts = jnp.arange(BATCH) * 100
    x = windows[starts[:, None] + jnp.arange(WINDOW)[None, :]]
    y = windows[starts[:, None] + jnp.arange(WINDOW)[None, :] + 1]
    weights = rnn.init_lstm_weight(jax.random.key(0), 1, hidden, 1, False)
    readout = jnp.full((hidden, 1), 0.1)
    zero, lengths = jnp.zeros((1, BATCH, hidden)), jnp.full((BATCH,), WINDOW, jnp.int32)

    def loss(params: Any) -> Any:
        states = rnn.lstm(x, zero, zero, params[0], lengths, 1, hidden, 1, 0.0, False)[0]
        return jnp.square(states @ params[1] - y).mean()

    @jax.jit
    def epochs(params: Any) -> Any:
        def one(params: Any, _: Any) -> Any:
            value, grads = jax.value_and_grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.05 * g, params, grads), value

        return lax.scan(one, params, length=EPOCHS)

    timing = measure(lambda: epochs((weights, readout)), 1.0)
    note = f"{timing.median / EPOCHS * 1e6:,.0f} us an epoch"
    recorder.rate(CUDNN, "network epochs/s", EPOCHS, timing, note=note, cudnn=True)


def run(recorder: Recorder) -> None:
    """See the module."""
    device = planned.start(recorder.quick)
    card = planned.find_card(device.device_kind, rates(recorder.rows))
    seeds = (1,) if recorder.quick else (1, 8)
    wanted: list[Any] = [*seeds, *([] if recorder.label else [CUDNN])]

    def one(case: Any) -> None:
        if case == CUDNN:
            cudnn(recorder, device)
        else:
            sweep(recorder, case, card)

    recorder.run(wanted, lambda n: n if n == CUDNN else f"{4 * n} networks", one)
