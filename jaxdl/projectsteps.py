"""The project's own steps with abstract arguments, to be lowered or compiled without running."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from jaxdl import embedding, forecast, segmentation, train, wordstream
from jaxdl.cards import Dtype
from jaxdl.data.batches import Batch, Canvas
from jaxdl.mesh import AXES
from jaxdl.metrics import zero_totals
from jaxdl.models.fcn import FCN
from jaxdl.models.word2vec import Tables
from jaxdl.objectives import Objective
from jaxdl.sampling import UnigramTable
from jaxdl.sharding import train_blocks_sharded

Kind = Literal["train", "predict"]
Stride = Literal[32, 16, 8]

# VOC2012's images padded to the three canvases of `data.batches.choose_canvases`: wide, high, both.
VOC_CANVASES: tuple[Canvas, ...] = ((384, 512), (512, 384), (512, 512))
VOC_CLASSES = 21
WORDS, WIDTH = 100_000, 100  # of the word2vec step: rows and columns of each table
OBJECTIVE = Objective()


class Step(NamedTuple):
    """A jitted function, its abstract arguments, and how many items one call works on."""

    name: str
    call: Any  # of jax.jit
    args: tuple[Any, ...]
    items: int
    unit: str


def fcn_loss(
    stride: Stride, dtype: Dtype, *, classes: int = VOC_CLASSES, width: int = 1, remat: bool = False
) -> tuple[Any, Any, FCN]:
    """The FCN's `segmentation.pixel_loss`, its abstract parameters, and the model."""
    compute = jnp.bfloat16 if dtype == "bfloat16" else None
    model = FCN(stride, classes, width, remat=remat, compute_dtype=compute, for_cpu=False)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    return segmentation.pixel_loss(model, jnp.zeros(3), "mean"), params, model


def fcn(
    stride: Stride,
    kind: Kind,
    canvas: Canvas,
    batch: int,
    dtype: Dtype,
    mesh: Mesh | None = None,
    *,
    classes: int = VOC_CLASSES,
    width: int = 1,
    remat: bool = False,
    optimizer: optax.GradientTransformationExtraArgs | None = None,
) -> Step:
    """Training, or prediction, of FCN-32s, 16s or 8s.

    Args:
        stride: 32, 16 or 8.
        kind: train or predict.
        canvas: height and width of the padded images; multiples of 32.
        batch: images.
        dtype: of the arithmetic; parameters are float32.
        mesh: with the axis "data": the images are split over it, the parameters are on each device.
        classes: number of them.
        width: divides the trunk's channel counts.
        remat: compute the trunk's activations again in the gradient.
        optimizer: of training; None for momentum SGD.
    """
    loss, params, model = fcn_loss(stride, dtype, classes=classes, width=width, remat=remat)
    images = _abstract((batch, *canvas, 3), np.uint8)
    labels = _abstract((batch, *canvas), np.uint8)
    sizes = _abstract((batch, 2), np.int32)
    name = f"fcn{stride}s {kind} {canvas[0]}x{canvas[1]} {dtype}"
    split = partial(_placed, mesh=mesh, spec=Spec("data"))
    whole = partial(_placed, mesh=mesh, spec=Spec())
    if kind == "predict":
        call = jax.jit(segmentation.predict_batch(model, jnp.zeros(3)))
        return Step(name, call, (whole(params), *split((images, sizes))), batch, "images")
    optimizer = train.momentum_sgd() if optimizer is None else optimizer
    call = train.dense_step(loss, optimizer, segmentation.add_figures)
    state = jax.eval_shape(partial(train.start_state, optimizer=optimizer), params)
    totals = jax.eval_shape(partial(zero_totals, classes))
    rate = jax.ShapeDtypeStruct((), np.float32)
    args = (*whole((state, totals)), split(Batch(images, labels, sizes)), whole(rate))
    return Step(name, call, args, batch, "images")


def word2vec(
    size: int,
    blocks: int = 16,
    mesh: Mesh | AbstractMesh | None = None,
    *,
    words: int = WORDS,
    width: int = WIDTH,
    objective: Objective = OBJECTIVE,
) -> Step:
    """Skip-gram or CBOW with negative sampling: blocks of `size` words in one dispatch.

    On a mesh both tables and the work are split over all devices.
    """
    stream = jax.eval_shape(
        partial(wordstream.subsample, window=objective.window, shrink="each", size=size),
        *(jax.random.key(0), jax.ShapeDtypeStruct((1 << 20,), np.int32)),
        *(jax.ShapeDtypeStruct((1 << 20,), np.int32), jax.ShapeDtypeStruct((words,), np.float32)),
    )
    table = UnigramTable(_abstract((words,), np.float32), _abstract((words,), np.int32))
    prepare = partial(wordstream.prepare, objective=objective, blocks=blocks, size=size, cap=100.0)
    key, at = jax.random.key(1), jax.ShapeDtypeStruct((), np.int32)
    prepared = jax.eval_shape(
        lambda stream, table, at: prepare(stream, table, None, key, at), stream, table, at
    )
    rows = -(-words // (mesh.size if mesh else 1)) * (mesh.size if mesh else 1)
    tables = Tables(*[_abstract((rows, width), np.float32)] * 2)
    rate = jax.ShapeDtypeStruct((), np.float32)
    whole = partial(_placed, mesh=mesh, spec=Spec())
    if mesh is None:
        call = partial(embedding.train_blocks, objective=objective, sum_first=True)
    else:
        call = partial(train_blocks_sharded, objective=objective, mesh=mesh, sum_first=True)
    call = jax.jit(call, donate_argnums=0)
    args = (_placed(tables, mesh=mesh, spec=Spec(AXES)), whole(prepared), None)
    args = (*args, whole(rate), whole(rate))
    return Step(f"word2vec block {size}", call, args, blocks * size, "words")


def lstm(
    sizes: Sequence[int] = (2, 3, 4, 5),
    seeds: int = 1,
    epochs: int = 100,
    batch: int = 32,
    *,
    window: int = 50,
    columns: int = 1,
    layers: int = 1,
    most: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Step:
    """The sweep over hidden sizes and seeds: `epochs` mini-batches of windows.

    Args:
        sizes: hidden sizes; the smaller are padded to the largest.
        seeds: networks of each size.
        epochs: mini-batches.
        batch: windows in a mini-batch.
        window: steps of a window.
        columns: values of a step.
        layers: LSTM layers.
        most: train no more than so many of the networks: a device's share of the sweep.
        optimizer: None for momentum SGD.
    """
    members = forecast.members_of(sizes, range(seeds))
    members = forecast.Members(members.units[:most], members.seeds[:most])
    key = jax.random.key(0)
    optimizer = train.momentum_sgd() if optimizer is None else optimizer
    call = forecast.sweep_step(key, members, optimizer, epochs=epochs, batch=batch, window=window)
    shape = {"inputs": columns, "outputs": columns, "layers": layers}
    start = partial(forecast.initial_sweep, optimizer=optimizer, hidden=max(sizes), **shape)
    state = jax.eval_shape(start, key, *members)
    totals = jax.eval_shape(lambda: forecast.zero_losses(1, epochs, members))
    series = jax.ShapeDtypeStruct((max(5000, 2 * window), columns), np.float32)
    args = (state, totals, series, jax.ShapeDtypeStruct((), np.float32))
    return Step(f"lstm sweep of {len(members.units)}", call, args, epochs, "epochs")


def _abstract(shape: tuple[int, ...], dtype: Any) -> Any:
    """Stands for an array."""
    return jax.ShapeDtypeStruct(shape, dtype)


def _placed(tree: Any, *, mesh: Mesh | AbstractMesh | None, spec: Spec) -> Any:
    """Abstract arrays laid out over the mesh; without one they stay as they are."""
    if mesh is None:
        return tree
    layout = NamedSharding(mesh, spec)
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=layout), tree)


def on_mesh(step: Step, mesh: Mesh) -> Step:
    """The step with every argument whole on each device of the mesh."""
    return step._replace(args=_placed(step.args, mesh=mesh, spec=Spec()))
