"""How far each system is from the oracle files: the largest differences, in whatever arithmetic.

`tests/test_oracle_*.py` hold the same files to tolerances on a CPU; this asks which ones a
device needs. A difference is relative to the largest reference value of its array.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.process import ROOT
from jaxdl.fcn.losses import pixel_xent, reduce_pixels
from jaxdl.fcn.models.fcn import FCN
from jaxdl.lstm.model import forward
from jaxdl.lstm.sweep import mean_squared_error
from jaxdl.word2vec.full_softmax import negative_sampling_loss

FOLDER = ROOT / "tests" / "fixtures" / "oracle"
ALIGN: dict[str, Any] = {"aligned": "exact", "center": "center"}
Differences = dict[str, float]


def off(got: Any, want: Any) -> float:
    """Largest difference over the largest reference value; infinite where a value is not finite."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, (got.shape, want.shape)
    if not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - want).max(initial=0) / max(np.abs(want).max(initial=0), 1e-30))


def worst(got: Any, want: Any) -> float:
    """Of two trees of arrays."""
    return max(jax.tree.leaves(jax.tree.map(off, got, want)), default=0.0)


def fcn(path: Path, dtype: Any) -> Differences:
    """Activations, loss, and gradients of one training step."""
    with np.load(path) as file:
        meta = json.loads(str(file["meta"]))
        stride: Any = int(meta["model"].removeprefix("fcn").removesuffix("s"))
        model = FCN(stride, meta["n_class"], meta["width"], ALIGN[meta["pad_mode"]], for_cpu=False)
        x = jnp.asarray(file["x"].transpose(0, 2, 3, 1), dtype)
        labels = jnp.asarray(file["t"])

        def layers(prefix: str, of: Any) -> dict[str, Any]:
            tree: dict[str, Any] = {"trunk": {}}
            for key in file.files:
                if key.startswith(f"{prefix}/") and key.endswith("/W"):
                    name, kernel = key.split("/")[1], np.transpose(file[key], (2, 3, 1, 0))
                    leaf = {"kernel": kernel.astype(of), "bias": file[key[:-1] + "b"].astype(of)}
                    (tree["trunk"] if name.startswith("conv") else tree)[name] = leaf
            return tree

        @jax.jit
        def run(params, labels):
            def loss_fn(params):
                logits, sown = model.apply({"params": params}, x, mutable=["intermediates"])
                total, count = pixel_xent(logits, labels)
                return reduce_pixels(total, count, "mean"), (logits, sown["intermediates"])

            return jax.value_and_grad(loss_fn, has_aux=True)(params)

        (loss, (logits, sown)), grads = run(layers("w0", dtype), labels)
        stages = {name: value[0] for name, value in sown.items()} | {"upscore": logits}
        wanted = [key.removeprefix("act/") for key in file.files if key.startswith("act/")]
        return {
            "activations": max(
                off(stages[name], file[f"act/{name}"].transpose(0, 2, 3, 1)) for name in wanted
            ),
            "loss": off(loss, file["loss"]),
            "gradients": worst(grads, layers("grad", np.float64)),
        }


def lstm(path: Path, dtype: Any) -> Differences:
    """Outputs, loss and gradients of a window."""
    with np.load(path) as file:

        def tree(prefix: str, of: Any) -> dict[str, Any]:
            gates = {
                ours: np.concatenate([file[f"{prefix}/{name}_{g}"] for g in "gifo"]).astype(of)
                for ours, name in (("input", "Wx"), ("recurrent", "Wh"), ("bias", "b"))
            }
            readout = {"kernel": file[f"{prefix}/Wo"].T, "bias": file[f"{prefix}/bo"]}
            return {"lstm_1": gates, "readout": {k: a.astype(of) for k, a in readout.items()}}

        series = jnp.asarray(file["seq"], dtype)[:, :, None]

        @jax.jit
        def run(params):
            def loss_fn(params):
                y, _ = forward(params, series[:-1])
                return mean_squared_error(y, series[1:]), y

            return jax.value_and_grad(loss_fn, has_aux=True)(params)

        (loss, y), grads = run(tree("w0", dtype))
        return {
            "outputs": off(y, file["y"]),
            "loss": off(loss, file["loss"]),
            "gradients": worst(grads, tree("grad", np.float64)),
        }


def word2vec(path: Path, dtype: Any) -> Differences:
    """Losses and gradients of negative sampling, its negatives replayed."""
    with np.load(path) as file:
        target, samples = jnp.asarray(file["t"]), jnp.asarray(file["samples"])

        @jax.jit
        def run(x, table):
            def loss_fn(x, table):
                rows = table[jnp.maximum(target, 0)]
                each = negative_sampling_loss(x, rows, table[samples], target >= 0)
                return each.sum(), each

            return jax.value_and_grad(loss_fn, argnums=(0, 1), has_aux=True)(x, table)

        (_, each), grads = run(jnp.asarray(file["x"], dtype), jnp.asarray(file["W"], dtype))
        found = zip(grads, (file["grad_x"], file["grad_W"]), strict=True)
        # sgns_a.npz came with grad_W all NaN: that array says nothing.
        known = [off(got, want) for got, want in found if np.isfinite(want).all()]
        return {"loss": off(each, file["loss_no"]), "gradients": max(known)}


SYSTEMS: dict[str, Callable[[Path, Any], Differences]] = {
    "fcn": fcn,
    "lstm": lstm,
    "word2vec": word2vec,
}


# One of each network, of odd sizes, two images in a batch: what says most comes first.
FIRST = ("fcn8s_tiny_17x31", "fcn16s_33x32_b2", "fcn32s_tiny_45x70")


def files(system: str) -> list[Path]:
    """The oracle files of a system, those of `FIRST` first."""
    found = sorted((FOLDER / system).glob("*.npz"))
    return sorted(found, key=lambda path: (*FIRST, path.stem).index(path.stem))
