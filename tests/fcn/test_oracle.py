"""Our FCN against an independent implementation (Chainer 7.8.1 in float64), file by file.

Every file of ``$JAXDL_ORACLE_DIR/fcn/*.npz`` is run; its ``meta`` alone decides what is built.
Arrays there are NCHW, weights OIHW.
"""

import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.fcn.data.batches import preprocess
from jaxdl.fcn.losses import pixel_xent, reduce_pixels
from jaxdl.fcn.metrics import compute_metrics, empty_metrics, update_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.training.optimizers import momentum_sgd
from jaxdl.training.step import dense_step, start_state

OWN = Path(__file__).parents[1] / "fixtures" / "oracle"
FOLDER = Path(os.environ.get("JAXDL_ORACLE_DIR", OWN))
FILES = sorted((FOLDER / "fcn").glob("*.npz"))
ALIGN: dict[str, Any] = {"aligned": "exact", "center": "center"}


def test_there_are_files():
    assert FILES, f"no oracle files in {FOLDER / 'fcn'}"


def layers(file: Any, prefix: str, dtype: Any) -> dict:
    """Parameters (or gradients) in our tree: HWIO kernels, the trunk's layers together."""
    tree: dict[str, Any] = {"trunk": {}}
    for key in file.files:
        if key.startswith(f"{prefix}/") and key.endswith("/W"):
            name = key.split("/")[1]
            kernel = np.transpose(file[key], (2, 3, 1, 0))
            leaf = {"kernel": kernel.astype(dtype), "bias": file[key[:-1] + "b"].astype(dtype)}
            (tree["trunk"] if name.startswith("conv") else tree)[name] = leaf
    return tree


def close(got: Any, want: Any, tolerance: float, what: str) -> None:
    """Largest difference relative to the largest reference value."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, what
    scale = np.abs(want).max(initial=0.0)
    worst = np.abs(got - want).max(initial=0.0)
    assert worst <= tolerance * max(scale, 1e-30), f"{what}: {worst / max(scale, 1e-30):.2e}"


@pytest.fixture
def dtype(request: pytest.FixtureRequest):
    with jax.enable_x64(request.param == "float64"):
        yield np.dtype(request.param)


QUICK = "fcn8s_tiny_1x1"  # for `make check`
PLAIN = ("fcn16s_tiny_33x32_allignored", "fcn8s_tiny_17x31")
# Every file in float64. In float32, which the commands use, those that differ in kind: each stride,
# a batch of two, both alignments, and one pixel.
SINGLE = ("fcn32s_75x50_center", "fcn16s_33x32_b2", "fcn8s_tiny_45x70", QUICK)
CASES = [
    pytest.param(path, dtype, marks=[] if path.stem == QUICK else pytest.mark.slow)
    for path in FILES
    for dtype in ("float64", "float32")
    if dtype == "float64" or path.stem in SINGLE or FOLDER != OWN
]


@pytest.mark.parametrize(
    ("path", "dtype"), CASES, indirect=["dtype"], ids=lambda v: getattr(v, "stem", None)
)
def test_oracle(path: Path, dtype: np.dtype):
    with np.load(path) as file:
        check_file(file, dtype, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
def test_oracle_without_the_forms_for_cpus(name: str, x64: None):
    """The project works if `jaxdl.fcn.models.cpu` is deleted."""
    with np.load(FOLDER / "fcn" / f"{name}.npz") as file:
        check_file(file, np.dtype("float64"), False)


def check_file(file: Any, dtype: np.dtype, for_cpu: bool | None) -> None:
    exact = dtype == np.float64
    tolerance = {"act": 1e-6, "grad": 1e-6} if exact else {"act": 1e-5, "grad": 1e-4}
    meta = json.loads(str(file["meta"]))
    stride: Any = int(meta["model"].removeprefix("fcn").removesuffix("s"))
    model = FCN(stride, meta["n_class"], meta["width"], ALIGN[meta["pad_mode"]], for_cpu=for_cpu)
    params = jax.tree.map(jnp.asarray, layers(file, "w0", dtype))
    x = jnp.asarray(file["x"].transpose(0, 2, 3, 1), dtype)
    labels = jnp.asarray(file["t"])

    # The oracle's input is our preprocessing of its image, in BGR order.
    mean = jnp.asarray(meta["bgr_mean"][::-1], jnp.float32)
    ours = jax.jit(preprocess)(jnp.asarray(file["image_rgb"]), mean)
    close(np.asarray(ours)[..., ::-1], x, 1e-6, "preprocess")

    def loss_fn(params, labels):
        logits, sown = model.apply({"params": params}, x, mutable=["intermediates"])
        total, count = pixel_xent(logits, labels)
        figures = logits, total, sown["intermediates"]
        return reduce_pixels(total, count, "mean"), (count.astype(total.dtype), figures)

    loss_and_grads = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    (loss, (_, (logits, total, sown))), grads = loss_and_grads(params, labels)
    stages = {name: value[0] for name, value in sown.items()} | {"upscore": logits}
    wanted = {key.removeprefix("act/") for key in file.files if key.startswith("act/")}
    assert wanted <= stages.keys()
    for name in sorted(wanted):
        close(stages[name], file[f"act/{name}"].transpose(0, 2, 3, 1), tolerance["act"], name)

    scalar = 1e-6 if exact else 1e-5
    assert float(loss) == pytest.approx(float(file["loss"]), rel=scalar, abs=1e-12)
    per_image = float(total) / meta["batch"]
    assert per_image == pytest.approx(float(file["loss_unnormalized"]), rel=scalar, abs=1e-12)

    predicted = logits.argmax(-1)
    differing = int((np.asarray(predicted) != file["pred"]).sum())
    assert differing <= (0 if exact else 2)
    empty = empty_metrics(meta["n_class"])
    figures = compute_metrics(jax.jit(update_metrics)(empty, predicted, labels, total))
    if (file["t"] >= 0).any():
        rel = 1e-6 if exact else 1e-3
        assert figures["pixel_accuracy"] == pytest.approx(float(file["accuracy"]), rel=rel)
    else:
        assert np.isnan(figures["pixel_accuracy"])

    jax.tree.map_with_path(
        lambda where, got, want: close(got, want, tolerance["grad"], f"gradient {where}"),
        grads,
        layers(file, "grad", np.float64),
    )
    # Three steps of our momentum SGD: the loss before each, after them, and the weights.
    tolerance = 1e-6 if exact else 2e-2
    for name, decay in (("sgd", 0.0), ("sgdwd", meta["weight_decay"])):
        optimizer = momentum_sgd(momentum=meta["momentum"], weight_decay=decay)
        step = step_in_two(loss_and_grads, optimizer)
        if name == "sgdwd" and not exact:  # as the commands train
            step = dense_step(loss_fn, optimizer, lambda totals, _: totals)
        state, losses = start_state(jax.tree.map(jnp.copy, params), optimizer), []
        for _ in range(3):
            state, _, loss = step(state, (), labels, meta["lr"])
            losses.append(float(loss))
        losses.append(float(loss_and_grads(state.params, labels)[0][0]))
        np.testing.assert_allclose(
            losses, file[f"{name}_losses"], rtol=max(tolerance, 1e-5), atol=1e-12
        )
        jax.tree.map_with_path(
            lambda where, got, want, name=name: close(got, want, tolerance, f"{name}3 {where}"),
            state.params,
            layers(file, f"{name}3", np.float64),
        )


def step_in_two(loss_and_grads: Any, optimizer: Any) -> Any:
    """`dense_step`, but the gradient's program is the one there is: it takes long to compile."""

    @jax.jit
    def change(state, grads, rate):
        opt_state = optax.tree_utils.tree_set(state.opt_state, learning_rate=rate)
        changes, opt_state = optimizer.update(grads, opt_state, state.params, weight=None)
        return state._replace(
            params=optax.apply_updates(state.params, changes), opt_state=opt_state
        )

    def step(state, metrics, labels, rate):
        (loss, _), grads = loss_and_grads(state.params, labels)
        return change(state, grads, jnp.asarray(rate, jnp.float32)), metrics, loss

    return step
