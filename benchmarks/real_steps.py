"""The project's steps at real sizes, in float32 or float64, for `benchmarks.check_numbers`."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.fcn.jax_runner import MEAN, random_params
from jaxdl.digits import task
from jaxdl.digits.data import open_digits
from jaxdl.digits.model import LeNet
from jaxdl.fcn.data.batches import Batch, preprocess
from jaxdl.fcn.data.scenes import make_scene
from jaxdl.fcn.metrics import empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.plan import VOC_CLASSES
from jaxdl.fcn.task import add_outcome, pixel_loss, predict_batch
from jaxdl.lstm import sweep
from jaxdl.lstm.series import sine
from jaxdl.planner.choices import VOC_CANVASES
from jaxdl.training import optimizers
from jaxdl.training.step import dense_step, start_state
from jaxdl.word2vec import blocks
from jaxdl.word2vec.model import Tables, init_tables
from jaxdl.word2vec.negative_sampling import unigram_table
from jaxdl.word2vec.objectives import Objective
from jaxdl.word2vec.step import train_blocks

# Of an array, relative to its largest value: ten times what rounding gives.
TOLERANCE = 1e-4
TIES = 5e-3  # FCN gradients: a pixel whose ReLU or pooling ties within rounding goes another way
TRUE_SIZES = {(384, 512): (375, 500), (512, 384): (500, 375), (512, 512): (500, 500)}


class Work(NamedTuple):
    """A jitted step, its arguments (host arrays or shared: some are donated), what to compare."""

    call: Any
    args: tuple[Any, ...]
    pick: Callable[[Any], Any] = lambda outputs: outputs


class Case(NamedTuple):
    """One row: `make` gives the work in float32 or float64."""

    name: str
    make: Callable[[Any], Work]
    double: bool  # float64 is cheap enough
    largest: float = TOLERANCE  # difference allowed in one array; the median's is TOLERANCE


def cast(tree: Any, dtype: Any) -> Any:
    """Floating-point arrays in that dtype, on the host."""

    def one(x):
        x = np.asarray(x)
        return x.astype(dtype) if np.issubdtype(x.dtype, np.floating) else x

    return jax.tree.map(one, tree)


def fcn_batch(canvas: tuple[int, int]) -> Batch:
    """A drawn scene of VOC's size on its canvas."""
    size = TRUE_SIZES[canvas]
    image, label = make_scene(np.random.default_rng(7), *size)
    images, labels = np.zeros((1, *canvas, 3), np.uint8), np.full((1, *canvas), 255, np.uint8)
    images[0, : size[0], : size[1]], labels[0, : size[0], : size[1]] = image, label
    return Batch(images, labels, np.array([size], np.int32))


def fcn_train(stride: Any, width: int, canvas: tuple[int, int], dtype: Any) -> Work:
    model = FCN(stride, VOC_CLASSES, width, compute_dtype=dtype)
    params = cast(random_params(model, seed=1), dtype)
    optimizer = optimizers.momentum_sgd()
    loss = pixel_loss(model, jnp.asarray(MEAN, jnp.float32), "mean")
    step = dense_step(loss, optimizer, add_outcome)
    state = start_state(params, optimizer)
    args = (state, empty_metrics(VOC_CLASSES), fcn_batch(canvas), np.float32(1e-3))
    return Work(step, args, lambda outputs: (outputs[0], outputs[2]))


def fcn_predict(stride: Any, width: int, canvas: tuple[int, int], dtype: Any) -> Work:
    model = FCN(stride, VOC_CLASSES, width, compute_dtype=dtype)
    params = cast(random_params(model, seed=1), dtype)
    mean = jnp.asarray(MEAN, jnp.float32)
    predict = predict_batch(model, mean)
    batch, (height, wide) = fcn_batch(canvas), TRUE_SIZES[canvas]

    def both(params, images, sizes):
        """The logits too: a random network sees one class nearly everywhere."""
        logits = model.apply({"params": params}, preprocess(images, mean), sizes)
        return {"classes": predict(params, images, sizes), "logits": logits}

    def pick(outputs):
        return jax.tree.map(lambda array: array[:, :height, :wide], outputs)

    return Work(jax.jit(both), (params, batch.images, batch.sizes), pick)


def word_stream(words: int) -> tuple[np.ndarray, tuple[Any, ...], dict[str, Any]]:
    """Counts of words by Zipf's law, a text of them, and what `blocks.subsample` takes."""
    rng = np.random.default_rng(3)
    share = 1 / np.arange(1, words + 1)
    ids = rng.choice(words, size=1 << 18, p=share / share.sum()).astype(np.int32)
    counts = np.maximum(np.bincount(ids, minlength=words), 1)
    keep = blocks.keep_probability(counts, 1e-3).astype(np.float32)
    args = (jax.random.key(4), ids, np.arange(len(ids), dtype=np.int32) // 1000, keep)
    return counts, args, {"window": 5, "shrink": "each", "size": 32}


def subsample(words: int, dtype: Any) -> Work:
    _, args, static = word_stream(words)
    return Work(jax.jit(partial(blocks.subsample, **static)), args)


def word_blocks(words: int) -> tuple[Any, tuple[Any, ...]]:
    """`blocks.prepare` for a dispatch, and its arguments."""
    counts, args, static = word_stream(words)
    stream = blocks.subsample(*args, **static)
    prepare = partial(blocks.prepare, objective=Objective(), blocks=400, size=32, cap=100.0)
    at = np.int32(0)
    return jax.jit(prepare), (stream, unigram_table(counts), None, jax.random.key(5), at)


def prepare(words: int, dtype: Any) -> Work:
    with jax.enable_x64(False):
        return Work(*word_blocks(words))


def word2vec(words: int, dtype: Any) -> Work:
    with jax.enable_x64(False):
        call, args = word_blocks(words)
        prepared, tables = cast(call(*args), dtype), init_tables(jax.random.key(6), words, 100)
    # Outputs that are not zero, as after an epoch: else the first gradients of the inputs are.
    outputs = np.random.default_rng(7).uniform(-0.1, 0.1, (words, 100))
    tables = cast(Tables(tables.inputs, jnp.asarray(outputs)), dtype)
    step = partial(train_blocks, objective=Objective(), sum_first=False)
    rate = np.asarray(0.025, dtype), np.asarray(1e-7, dtype)
    return Work(jax.jit(step, donate_argnums=0), (tables, prepared, None, *rate))


def lstm(seeds: int, dtype: Any) -> Work:
    members, optimizer = sweep.members_of((2, 3, 4, 5), range(seeds)), optimizers.momentum_sgd()
    drawn = {"seed": 8, "epochs": 100, "batch": 32, "spans": len(sine()) - 50}
    batch = next(sweep.batches(sine().astype(dtype), members, 0, **drawn))
    with jax.enable_x64(False):
        state = cast(sweep.start_sweep(8, members, optimizer), dtype)
        totals = cast(sweep.zero_losses(1, 100, members), dtype)
    step = sweep.sweep_step(optimizer, window=50)
    return Work(step, (state, totals, batch, np.asarray(0.1, dtype)))


def digits(dtype: Any) -> Work:
    data = open_digits(None)
    model, optimizer = LeNet(len(data.classes)), optimizers.momentum_sgd()
    image = jnp.zeros((1, *data.train.images.shape[1:], 1), jnp.float32)
    params = jax.jit(model.init)(jax.random.key(9), image)["params"]
    batch = next(task.batches(data.train, 64, seed=0, first=0))
    step = dense_step(
        task.picture_loss(model), optimizer, lambda totals, new: task.update_metrics(totals, *new)
    )
    state = start_state(cast(params, dtype), optimizer)
    args = (state, task.empty_metrics(len(data.classes)), batch, np.float32(0.01))
    return Work(step, args, lambda outputs: (outputs[0], outputs[2]))


def cases(quick: bool) -> Iterator[Case]:
    """All rows; `quick` leaves out the full width and all canvases but one."""
    words = 70_000
    yield Case("digits", digits, True)
    yield Case("lstm, 8 seeds, 100 steps", partial(lstm, 8), True)
    yield Case(f"word2vec, {words} words: subsample", partial(subsample, words), False)
    yield Case(f"word2vec, {words} words: prepare", partial(prepare, words), False)
    yield Case(f"word2vec, {words} words: train", partial(word2vec, words), True)
    shapes: list[tuple[int, int]] = [(32, 32), (8, 8)] if quick else [(32, 32), (8, 8), (8, 1)]
    for stride, width in shapes:
        for canvas in VOC_CANVASES[:1] if quick else VOC_CANVASES:
            size = f"{canvas[0]}x{canvas[1]}, width 1/{width}"
            double = width > 1 and canvas == VOC_CANVASES[0]
            for what, make in (("train", fcn_train), ("predict", fcn_predict)):
                made, largest = partial(make, stride, width, canvas), (TOLERANCE, TIES)
                yield Case(f"fcn{stride}s {what} {size}", made, double, largest[what == "train"])
