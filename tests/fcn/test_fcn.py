"""The network: exact mixed-size batches, zero-start skips, options that change no number."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax

from jaxdl.fcn.data.batches import Batch, Stored, gather
from jaxdl.fcn.losses import pixel_xent, reduce_pixels
from jaxdl.fcn.models.bilinear import bilinear_taps, crop_start, upsample
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.models.vgg import max_pool
from jaxdl.fcn.task import make_evaluate, make_predict, make_prepare, pixel_loss

CLASSES = 4
MEAN = jnp.asarray([120.0, 110.0, 100.0])


def random_params(model: FCN, seed: int = 0) -> Any:
    """A start whose skip scores are not zero, so that every path counts."""
    params: dict[str, Any] = dict(
        jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, 32, 32, 3)))["params"]
    )
    rng = np.random.default_rng(seed)
    for name in ("score_pool5", "score_pool4", "score_pool3"):
        if name in params:
            params[name] = jax.tree.map(
                lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32), params[name]
            )
    return params


# --- upsampling and pooling -------------------------------------------------------------------


def full_scatter(x: np.ndarray, stride: int) -> np.ndarray:
    """A transposed convolution as its definition: each input adds its kernel to the output."""
    taps = bilinear_taps(stride)
    kernel = taps[:, None] * taps[None, :]
    b, h, w, c = x.shape
    out = np.zeros((b, stride * (h + 1), stride * (w + 1), c))
    for i in range(h):
        for j in range(w):
            rows, columns = slice(i * stride, (i + 2) * stride), slice(j * stride, (j + 2) * stride)
            out[:, rows, columns] += kernel[None, :, :, None] * x[:, i, j][:, None, None]
    return out


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("align", ["exact", "center"])
@pytest.mark.parametrize(
    ("stride", "size"), [(2, (5, 8)), (8, (17, 33)), (16, (16, 1)), (32, (75, 50))]
)
def test_upsample_is_the_cropped_scatter(stride: int, size: tuple[int, int], align: Any):
    x = np.random.default_rng(0).normal(size=(2, -(-size[0] // stride), -(-size[1] // stride), 3))
    top, left = (int(crop_start(s, stride, align)) for s in size)
    want = full_scatter(x, stride)[:, top : top + size[0], left : left + size[1]]
    np.testing.assert_allclose(upsample(jnp.asarray(x), stride, size, align), want, atol=1e-12)


@pytest.mark.slow
def test_exact_upsampling_equals_bilinear_resize_away_from_the_border():
    x = jax.random.normal(jax.random.key(0), (1, 4, 5, 2))
    ours = upsample(x, 8, (32, 40))
    resized = jax.image.resize(x, (1, 32, 40, 2), "bilinear")
    np.testing.assert_allclose(ours[:, 4:-4, 4:-4], resized[:, 4:-4, 4:-4], atol=1e-5)
    # At the border a fixed deconvolution fades: it is not renormalised.
    fade = upsample(jnp.ones((1, 4, 5, 1)), 32, (128, 160))
    np.testing.assert_allclose(fade[0, 0, 80, 0], 0.515625)
    np.testing.assert_allclose(fade[0, 0, 0, 0], 0.515625**2)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 4), (7, 7)])
def test_max_pool_equals_xla_with_its_gradient_on_ties(shape: tuple[int, int]):
    """Small integers, so that most windows have ties: the first in row-major order takes all."""
    h, w = shape
    x = jax.random.randint(jax.random.key(h * w), (2, h, w, 3), 0, 3).astype(jnp.float32)

    def reference(x):
        padding = ((0, 0), (0, h % 2), (0, w % 2), (0, 0))
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), padding)

    np.testing.assert_array_equal(max_pool(x), reference(x))
    weight = jax.random.normal(jax.random.key(1), max_pool(x).shape)
    got, want = (jax.grad(lambda x, f=f: (f(x) * weight).sum())(x) for f in (max_pool, reference))
    np.testing.assert_array_equal(got, want)


@pytest.mark.slow
def test_max_pool_passes_nan_on():
    for i in range(4):
        x = jnp.arange(4.0).reshape(1, 2, 2, 1).at[0, i // 2, i % 2, 0].set(jnp.nan)
        assert jnp.isnan(max_pool(x)).all()


# --- mixed sizes in one canvas ----------------------------------------------------------------


def padded(
    rng: np.random.Generator, sizes: list[tuple[int, int]], canvas: tuple[int, int]
) -> Batch:
    """Random images and labels, with noise where an image is not, which must not matter."""
    count = len(sizes)
    batch = Batch(
        rng.integers(0, 256, (count, *canvas, 3), dtype=np.uint8),
        np.full((count, *canvas), 255, np.uint8),
        np.asarray(sizes, np.int32).reshape(count, 2),
    )
    for row, (h, w) in enumerate(sizes):
        label = rng.integers(0, CLASSES + 1, (h, w), dtype=np.uint8)
        batch.labels[row, :h, :w] = np.where(label == CLASSES, 255, label)
    return batch


def close(got: Any, want: Any, tolerance: float) -> None:
    scale = max(float(jnp.abs(want).max(initial=0.0)), 1e-6)
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


sizes = st.tuples(st.integers(1, 200), st.integers(1, 200))


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "align"), [(32, "exact"), (16, "center"), (8, "exact")])
def test_a_mixed_batch_equals_image_by_image(stride: Any, align: Any):
    """Logits, loss and gradients, over sizes 1..200; the canvas is what holds them."""
    model = FCN(stride, CLASSES, 32, align)
    params = random_params(model)
    loss_fn = pixel_loss(model, MEAN, "sum")

    @jax.jit
    def run(params, batch):
        (loss, (count, _)), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, batch)
        images = batch.images.astype(jnp.float32) - MEAN[None, None, None]
        return model.apply({"params": params}, images, batch.sizes), loss, count, grads

    @settings(max_examples=4, deadline=None, derandomize=True)
    @given(st.lists(sizes, min_size=3, max_size=3))
    @example([(200, 200), (1, 1), (33, 64)])
    def check(sizes: list[tuple[int, int]]):
        rng = np.random.default_rng(sum(map(sum, sizes)))
        batch = padded(rng, sizes, (224, 224))
        logits, loss, count, grads = run(params, batch)
        alone = []
        for row, (h, w) in enumerate(sizes):
            # Alone in a square of 112 or 224, to bound the number of compilations;
            # `test_a_canvas_changes_nothing` is against no padding at all.
            side = 112 if max(h, w) <= 112 else 224
            around = [(0, side - h), (0, side - w)]
            one = Batch(
                np.pad(batch.images[row : row + 1, :h, :w], [(0, 0), *around, (0, 0)]),
                np.pad(batch.labels[row : row + 1, :h, :w], [(0, 0), *around], constant_values=255),
                batch.sizes[row : row + 1],
            )
            alone.append(run(params, one))
            close(logits[row, :h, :w], alone[-1][0][0, :h, :w], 1e-5)
        assert int(count) == sum(int(a[2]) for a in alone)
        close(loss, jnp.asarray(sum(a[1] for a in alone)), 1e-5)
        jax.tree.map(lambda g, *ones: close(g, sum(ones), 1e-5), grads, *(a[3] for a in alone))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("align", ["exact", "center"])
@pytest.mark.parametrize("size", [(1, 1), (32, 32), (45, 70), (97, 31)])
def test_a_canvas_changes_nothing(size: tuple[int, int], align: Any):
    """An image in a larger canvas, against the network without sizes, masks or padding."""
    model = FCN(8, CLASSES, 32, align)
    params, rng = random_params(model), np.random.default_rng(1)
    image = jnp.asarray(rng.normal(scale=60, size=(1, *size, 3)), jnp.float32)
    bare = jax.jit(lambda p, x: model.apply({"params": p}, x))(params, image)
    noise = jnp.asarray(rng.normal(scale=60, size=(1, 128, 128, 3)), jnp.float32)
    canvas = noise.at[:, : size[0], : size[1]].set(image)
    masked = jax.jit(lambda p, x, s: model.apply({"params": p}, x, s))(
        params, canvas, jnp.asarray([size], jnp.int32)
    )
    close(masked[:, : size[0], : size[1]], bare, 1e-5)


@pytest.mark.slow
def test_without_masks_padding_would_matter():
    """The property above is not empty: a canvas without `sizes` gives other logits."""
    model = FCN(32, CLASSES, 32)
    params = random_params(model)
    image = 60 * jax.random.normal(jax.random.key(0), (1, 45, 70, 3))
    apply = jax.jit(lambda p, x: model.apply({"params": p}, x))
    bare = apply(params, image)
    loose = apply(params, jnp.pad(image, ((0, 0), (0, 51), (0, 58), (0, 0))))[:, :45, :70]
    assert float(jnp.abs(loose - bare).max()) > 0.05 * float(jnp.abs(bare).max())


@pytest.mark.slow
def test_void_images_in_a_batch_change_nothing():
    model = FCN(16, CLASSES, 32)
    params, loss_fn = random_params(model), pixel_loss(model, MEAN, "mean")
    batch = padded(np.random.default_rng(2), [(40, 50), (64, 33)], (64, 64))
    filled = padded(np.random.default_rng(2), [(40, 50), (64, 33), (0, 0)], (64, 64))
    filled = Batch(*(np.concatenate([a, f[2:]]) for a, f in zip(batch, filled, strict=True)))
    run = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    (loss, _), grads = run(params, batch)
    (loss_filled, _), grads_filled = run(params, filled)
    close(loss_filled, loss, 1e-6)
    jax.tree.map(lambda a, b: close(a, b, 1e-5), grads_filled, grads)


@pytest.mark.slow
def test_all_void_gives_zero_and_no_nan():
    model = FCN(8, CLASSES, 32)
    batch = padded(np.random.default_rng(0), [(20, 30)], (32, 32))
    batch = batch._replace(labels=np.full_like(batch.labels, 255))
    run = jax.jit(jax.value_and_grad(pixel_loss(model, MEAN, "mean"), has_aux=True))
    (loss, _), grads = run(random_params(model), batch)
    assert float(loss) == 0.0
    assert all(not np.asarray(g).any() for g in jax.tree.leaves(grads))


# --- stages, options, compilations ------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "steps"), [(16, (16,)), (8, (8, 16))])
def test_a_fresh_stage_predicts_what_the_scores_before_it_give(stride: Any, steps: tuple[int, ...]):
    """FCN-32s' scores, upsampled in two (three) steps: a stage never starts worse."""
    model, size = FCN(stride, CLASSES, 32, for_cpu=False), (75, 50)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    image = 60 * jax.random.normal(jax.random.key(1), (1, *size, 3))
    logits, sown = jax.jit(lambda p, x: model.apply({"params": p}, x, mutable=["intermediates"]))(
        params, image
    )
    scores = sown["intermediates"]["p5"][0]
    for step in reversed(steps):
        scores = upsample(scores, 2, (-(-size[0] // step), -(-size[1] // step)))
    want = upsample(scores, stride, size)
    np.testing.assert_array_equal(logits, want)
    assert float(jnp.abs(want).max()) > 0


@pytest.mark.slow
def test_parameters_have_the_documented_names_and_shapes():
    params = jax.eval_shape(FCN(8, 21).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    assert params["trunk"]["conv1_1"]["kernel"].shape == (3, 3, 3, 64)
    assert params["trunk"]["conv5_3"]["bias"].shape == (512,)
    assert set(params) == {"trunk", "score_pool5", "score_pool4", "score_pool3"}
    assert params["score_pool3"]["kernel"].shape == (1, 1, 256, 21)
    assert len(params["trunk"]) == 13


@pytest.mark.slow
def test_the_start_is_hes_for_bytes_and_then_for_what_they_give():
    """Variance 2 / fan in for inputs of spread 1, as all layers have but the first, whose is 64."""

    def first(key):
        params: Any = FCN(32, CLASSES, 4).init(key, jnp.zeros((1, 32, 32, 3)))["params"]
        trunk = params["trunk"]
        return 64 * trunk["conv1_1"]["kernel"], trunk["conv1_2"]["kernel"]

    for kernel, inputs in zip(jax.jit(first)(jax.random.key(0)), (3, 16), strict=True):
        assert float(kernel.std()) == pytest.approx((2 / (9 * inputs)) ** 0.5, rel=0.15)


@pytest.mark.slow
def test_remat_changes_no_gradient():
    batch = padded(np.random.default_rng(0), [(40, 50)], (64, 64))
    results = []
    for remat in (False, True):
        model = FCN(16, CLASSES, 32, remat=remat)
        run = jax.jit(jax.value_and_grad(pixel_loss(model, MEAN, "mean"), has_aux=True))
        (loss, _), grads = run(random_params(model), batch)
        results.append((loss, grads))
    jax.tree.map(lambda a, b: close(a, b, 1e-5), *results)


@pytest.mark.slow
def test_bfloat16_keeps_float32_parameters_and_loss():
    batch = padded(np.random.default_rng(0), [(40, 50)], (64, 64))
    losses = []
    for dtype in (None, jnp.bfloat16):
        model = FCN(16, CLASSES, 32, compute_dtype=dtype)
        params = random_params(model)
        run = jax.jit(jax.value_and_grad(pixel_loss(model, MEAN, "mean"), has_aux=True))
        (loss, (_, (predicted, _, _))), grads = run(params, batch)
        assert loss.dtype == jnp.float32
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((params, grads)))
        losses.append((float(loss), np.asarray(predicted)))
    assert losses[0][0] != losses[1][0]  # bfloat16 is in use
    assert losses[1][0] == pytest.approx(losses[0][0], rel=0.05)
    assert (losses[0][1] == losses[1][1]).mean() > 0.9


@pytest.mark.slow
def test_one_compilation_for_each_canvas():
    """Sizes inside a canvas, learning rates and epochs compile nothing; a new canvas, once."""
    from jaxdl.fcn.metrics import empty_metrics
    from jaxdl.fcn.task import add_outcome
    from jaxdl.training.optimizers import momentum_sgd
    from jaxdl.training.step import dense_step, start_state

    model, optimizer = FCN(16, CLASSES, 32), momentum_sgd(weight_decay=1e-4, clip_norm=1.0)
    step: Any = dense_step(pixel_loss(model, MEAN, "mean"), optimizer, add_outcome)
    state, totals = start_state(random_params(model), optimizer), empty_metrics(CLASSES)
    rng = np.random.default_rng(0)
    canvases = [(32, 64), (64, 32)]
    for n in range(8):
        canvas = canvases[n % 2]
        shapes: Any = [tuple(int(v) for v in rng.integers(1, np.add(canvas, 1))) for _ in "ab"]
        state, totals, _ = step(state, totals, padded(rng, shapes, canvas), 0.1 / (n + 1))
    assert step._cache_size() == len(canvases)
    assert int(state.step) == 8


@pytest.mark.slow
def test_augmented_training_is_the_same_from_host_and_device_in_one_dispatch_or_two():
    """Flips and crops depend on the seed and the update's number alone."""
    from jaxdl.fcn.metrics import empty_metrics
    from jaxdl.fcn.task import add_outcome
    from jaxdl.training.optimizers import momentum_sgd
    from jaxdl.training.step import dense_step, start_state

    rng = np.random.default_rng(0)
    whole = padded(rng, [(40, 64), (64, 33), (50, 50), (64, 64), (20, 30)], (64, 64))
    store = jax.device_put(whole)
    rows = np.array([[0, 3, 2, -1], [4, 1, 3, 0]], np.int32)
    model, optimizer = FCN(32, CLASSES, 32), momentum_sgd()
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    finals = []
    for updates, device in ((1, False), (1, True), (2, True)):
        prepare = make_prepare(jax.random.key(5), updates, flip=True, scale=(1.0, 1.0), crop=48)
        step: Any = dense_step(
            pixel_loss(model, MEAN, "mean"),
            optimizer,
            add_outcome,
            prepare=prepare,
            updates=updates,
        )
        state, totals = (
            start_state(jax.tree.map(jnp.copy, params), optimizer),
            empty_metrics(CLASSES),
        )
        for chosen in rows.reshape(-1, 2 * updates):
            batch: Any = Stored(store, chosen)
            batch = batch if device else jax.tree.map(np.asarray, gather(batch))
            state, totals, _ = step(state, totals, batch, 1e-4)
        assert int(state.step) == 4 // updates
        assert step._cache_size() == 1
        finals.append((state.params, totals))
    jax.tree.map(np.testing.assert_array_equal, finals[0], finals[1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), finals[1], finals[2]
    )


@pytest.mark.slow
def test_predict_gives_the_classes_of_the_bare_network_for_any_size():
    model = FCN(8, CLASSES, 32)
    params, rng = random_params(model), np.random.default_rng(3)
    predict = make_predict(model, MEAN)
    bare_network = jax.jit(lambda params, x: model.apply({"params": params}, x))
    for h, w in ((1, 1), (37, 90), (300, 20)):
        image = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        bare = bare_network(params, image[None].astype(np.float32) - MEAN[None, None, None])
        classes = predict(params, image)
        assert classes.shape == (h, w)
        assert (classes == np.asarray(bare)[0].argmax(-1)).mean() > 0.999


@pytest.mark.slow
def test_evaluate_equals_the_metrics_of_each_image():
    model = FCN(32, CLASSES, 32)
    params, rng = random_params(model), np.random.default_rng(4)
    parts = [padded(rng, [(30, 40), (64, 64)], (64, 64)), padded(rng, [(64, 10)], (64, 32))]
    figures = make_evaluate(model, MEAN)(params, parts)
    predict, right, valid, each = make_predict(model, MEAN), 0, 0, []
    for batch in parts:
        for image, label, (h, w) in zip(*batch, strict=True):
            classes, truth = predict(params, image[:h, :w]), label[:h, :w]
            hit, known = (classes == truth).sum(), (truth != 255).sum()
            right, valid = right + hit, valid + known
            each.append(hit / known)
    assert figures["pixel_accuracy"] == pytest.approx(right / valid)
    assert figures["mean_image_accuracy"] == pytest.approx(np.mean(each), rel=1e-6)


@pytest.mark.slow
def test_mean_loss_is_the_sum_over_valid_pixels():
    logits = jax.random.normal(jax.random.key(0), (1, 2, 2, 3))
    labels = jnp.asarray([[[0, -1], [2, 1]]])
    total, count = pixel_xent(logits, labels)
    assert int(count) == 3
    assert float(reduce_pixels(total, count, "mean")) == pytest.approx(float(total) / 3)
