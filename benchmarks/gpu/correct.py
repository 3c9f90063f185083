"""Part 2: is what the device computes right, and which tolerance does each arithmetic need?"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu import oracle, planned
from benchmarks.gpu.record import Recorder
from jaxdl.models.fcn import FCN

# Tolerances of the tests on a CPU: activations and losses, gradients.
EXACT, SINGLE, SINGLE_GRADIENT = 1e-6, 1e-5, 1e-4


class Mode(NamedTuple):
    """An arithmetic: the arrays' dtype, and JAX's precision of products (None: its default)."""

    name: str
    dtype: str
    precision: str | None


# A GPU's default rounds the factors of float32 products to TF32's 10 bits.
MODES = (
    Mode("float32, TF32 off", "float32", "float32"),
    Mode("float32, TF32 on", "float32", None),
    Mode("float64", "float64", "float32"),
)


def tolerance(mode: Mode, kind: str) -> float:
    """What the tests allow; of TF32 nothing is said there."""
    if mode.dtype == "float64":
        return EXACT
    return SINGLE_GRADIENT if kind == "gradients" else SINGLE


Case = tuple[str, Mode, Path | None]


def cases(quick: bool) -> list[Case]:
    """System, arithmetic and file: one network in each arithmetic, mixed batches, then the rest.

    The LSTM and word2vec name the precision of their products themselves: TF32 may change nothing.
    """
    off, on, double = MODES
    fcn, lstm, words = (oracle.files(system) for system in ("fcn", "lstm", "word2vec"))
    if quick:
        return [("fcn", off, fcn[0]), ("lstm", on, lstm[0]), ("word2vec", double, words[0])]
    found: list[Case] = [("fcn", mode, fcn[0]) for mode in MODES]
    found += [("mixed", off, None), ("mixed", on, None)]
    small = (("word2vec", words[0]), *(("lstm", path) for path in lstm))
    found += [(system, mode, path) for mode in (on, double) for system, path in small]
    return found + [("fcn", mode, path) for path in fcn[1:] for mode in MODES]


def name(case: Case) -> str:
    """As the rows have it."""
    system, mode, path = case
    what = "FCN, mixed batch beside one by one" if path is None else f"{system}, {path.stem}"
    return f"{what}, {mode.name}"


def compare(recorder: Recorder, case: Case) -> None:
    """A row: the largest difference of each kind and what the tests allow; the worst counts."""
    system, mode, path = case
    assert path is not None
    with jax.enable_x64(mode.dtype == "float64"), jax.default_matmul_precision(mode.precision):
        found = oracle.SYSTEMS[system](path, np.dtype(mode.dtype))
    allowed = {kind: tolerance(mode, kind) for kind in found}
    kind = max(found, key=lambda kind: found[kind] / allowed[kind])
    note = ", ".join(f"{what} {off:.1e} ({allowed[what]:.0e})" for what, off in found.items())
    about = {"mode": mode.name, "system": system, "differences": found}
    recorder.row(name(case), "", found[kind], allowed[kind], note=note, **about)


def mixed(recorder: Recorder, case: Case) -> None:
    """Images of several sizes in one padded batch, beside each alone and unpadded."""
    mode, small = case[1], recorder.quick
    sizes = [(33, 60), (50, 41)] if small else [(375, 500), (500, 375), (333, 500)]
    canvas = (64, 64) if small else (512, 512)
    model = FCN(8, 21, 32 if small else 4, for_cpu=False)
    rng = np.random.default_rng(3)
    params = random_params(model, rng)
    images = [rng.normal(0, 60, (*size, 3)).astype(np.float32) for size in sizes]
    batch = np.zeros((len(sizes), *canvas, 3), np.float32)
    for row, image in enumerate(images):
        batch[row, : image.shape[0], : image.shape[1]] = image
    with jax.default_matmul_precision(mode.precision):
        apply = jax.jit(lambda p, x, s: model.apply({"params": p}, x, s))
        together = np.asarray(apply(params, batch, np.array(sizes, np.int32)))
        off, other, pixels = 0.0, 0, 0
        for row, image in enumerate(images):
            alone = np.asarray(apply(params, image[None], None))[0]
            mine = together[row, : image.shape[0], : image.shape[1]]
            off = max(off, oracle.off(mine, alone))
            other += int((mine.argmax(-1) != alone.argmax(-1)).sum())
            pixels += alone[..., 0].size
    note = f"{other:,} of {pixels:,} pixels get another class"
    about = {"mode": mode.name, "system": "mixed batches", "differences": {"logits": off}}
    recorder.row(name(case), "", off, SINGLE, note=note, **about)


def random_params(model: FCN, rng: np.random.Generator) -> Any:
    """Parameters of a size at which activations neither vanish nor grow; no program is compiled."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]

    def draw(path: Any, shape: Any) -> np.ndarray:
        if path[-1].key == "bias":
            return rng.normal(0, 0.01, shape.shape).astype(np.float32)
        scale = np.sqrt(2 / np.prod(shape.shape[:-1]))
        return (scale * rng.normal(size=shape.shape)).astype(np.float32)

    return jax.tree.map_with_path(draw, shapes)


def run(recorder: Recorder) -> None:
    """See the module."""
    planned.start(recorder.quick)
    wanted = cases(recorder.quick)
    if recorder.quick:
        wanted.append(("mixed", MODES[0], None))
    recorder.run(wanted, name, lambda c: (mixed if c[2] is None else compare)(recorder, c))
