"""Convolutions written for CPUs equal XLA's own, in value and in every gradient."""

import platform
import re
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdl.fcn import plan
from jaxdl.fcn.models import cpu, vgg
from jaxdl.fcn.models.bilinear import upsample
from jaxdl.fcn.models.cpu import convolution, winograd
from jaxdl.fcn.models.fcn import FCN, forms
from jaxdl.fcn.models.vgg import keep_valid, valid_mask


def direct(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A convolution as its definition, in float64."""
    h, w = x.shape[1:3]
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        padded[:, i : i + h, j : j + w] @ kernel[i, j].astype(np.float64)
        for i in range(3)
        for j in range(3)
    ]
    return np.add.reduce(taps)


@jax.jit
def all_three(x, k, g):
    """Winograd's convolution and the gradients."""
    gradients = winograd.input_gradient(g, k), convolution.kernel_gradient(x, g)
    return winograd.convolve(x, k), *gradients


on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc",
    reason="other C libraries cannot be told (jaxdl/devices/heap.py)",
)
sides = st.integers(1, 11)


@pytest.mark.slow
@given(st.integers(1, 3), sides, sides, st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
@settings(deadline=None, max_examples=5)
def test_products_are_the_convolution_and_gradients_are_its_transposes(b, h, w, i, o, seed):
    """<g, conv(x, k)> = <x, input gradient> = <k, kernel gradient>, for every size."""
    rng = np.random.default_rng(seed)
    x, k, g = (rng.normal(size=s) for s in ((b, h, w, i), (3, 3, i, o), (b, h, w, o)))
    with jax.enable_x64(True):
        found: Any = [np.asarray(value) for value in all_three(x, k, g)]
    want = direct(x, k)
    np.testing.assert_allclose(found[0], want, atol=1e-12)
    turned = direct(g, k[::-1, ::-1].swapaxes(2, 3))
    np.testing.assert_allclose(found[1], turned, atol=1e-12)
    np.testing.assert_allclose((found[2] * k).sum(), float(np.vdot(g, want)), atol=1e-10)
    assert found[2].shape == k.shape
    tap = np.zeros(k.shape)
    tap[seed % 3, seed // 3 % 3, seed % i, seed % o] = 1
    np.testing.assert_allclose(
        (found[2] * tap).sum(), float(np.vdot(g, direct(x, tap))), atol=1e-10
    )


@pytest.mark.slow
def test_winograd_in_float32_is_as_good_as_plain_summation_or_nearly():
    """Root mean square error, relative, against float64: below 1e-6, and thrice XLA's at most."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(1, 20, 24, 256)), 0).astype(np.float32)
    k = (rng.normal(size=(3, 3, 256, 128)) * (2 / (9 * 256)) ** 0.5).astype(np.float32)
    want = direct(x, k)

    def error(found) -> float:
        return float(np.sqrt(((np.asarray(found) - want) ** 2).mean() / (want**2).mean()))

    arrays = jnp.asarray(x), jnp.asarray(k)
    ours, plain = error(winograd.convolve(*arrays)), error(vgg.product(*arrays))
    assert ours < 1e-6
    assert ours < 3 * plain


@pytest.mark.parametrize(
    ("batch", "piece", "pieces"),
    [(1, 1 << 30, 1), (3, 1 << 30, 1), (3, 500, 3), (1, 160, 3), (2, 160, 6), (3, 1, 33)],
)
def test_a_kernels_gradient_in_pieces_of_an_image_is_that_of_the_whole(
    batch, piece, pieces, monkeypatch
):
    """Small images go as one, large ones one by one; each row as a piece of its own at the end."""
    monkeypatch.setattr(convolution, "PIECE", piece)
    rng = np.random.default_rng(pieces)
    x, g = (rng.normal(size=(batch, 11, 9, c)) for c in (4, 5))

    def gradient(x, g):  # a function of its own: JAX remembers what another case traced
        return convolution.kernel_gradient(x, g)

    with jax.enable_x64(True):
        text = str(jax.make_jaxpr(gradient)(x, g))
        found = np.asarray(jax.jit(gradient)(x, g))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    want = [
        [np.einsum("bhwi,bhwo->io", padded[:, r : r + 11, c : c + 9], g) for c in range(3)]
        for r in range(3)
    ]
    np.testing.assert_allclose(found, want, atol=1e-12)
    assert text.count("conv_general_dilated[") == pieces


@pytest.mark.slow
@pytest.mark.parametrize("channels", [(3, 64), (64, 64), (64, 128), (5, 7), (3, 8), (16, 8)])
@pytest.mark.parametrize("size", [(9, 14), (130, 257)])
def test_a_layer_written_for_cpus_is_the_same_layer(channels, size, monkeypatch):
    """Mask, bias and ReLU too; large images go in pieces, here of few pixels.

    With few channels, 14 columns are computed 2 or 7 at a time, 257 one by one.
    """
    monkeypatch.setattr(convolution, "PIECE", 1 << 17)
    rng = np.random.default_rng(1)
    inside, out = channels
    x, g = (jnp.asarray(rng.normal(size=(2, *size, c)), jnp.float32) for c in channels)
    k = jnp.asarray(rng.normal(size=(3, 3, inside, out)) / (9 * inside) ** 0.5, jnp.float32)
    bias = jnp.asarray(rng.normal(size=out), jnp.float32)
    mask = valid_mask(jnp.asarray([[size[0] - 2, size[1]], [size[0], 5]]), *size)
    found = []
    for layer in (vgg.layer, convolution.layer):

        def run(x, k, bias, layer=layer):
            return layer(x, k, bias, mask)

        y, pull = jax.vjp(jax.jit(run), x, k, bias)
        found.append((y, *pull(g)))
    for plain, ours in zip(*found, strict=True):
        scale = float(jnp.abs(plain).max())
        off = np.abs(plain - ours) > 1e-5 * scale
        assert off.mean() < 1e-4  # a ReLU at a tie of rounding may flip
    assert not np.asarray(found[1][0])[0, size[0] - 2 :].any()


@pytest.mark.parametrize(
    ("channels", "columns", "together"),
    [
        *(((3, 8), 96, 8), ((3, 8), 12, 6), ((3, 8), 257, 1), ((3, 64), 96, 1)),
        *(((8, 8), 96, 4), ((16, 16), 96, 2), ((16, 32), 96, 1), ((32, 8), 96, 1)),
    ],
)
def test_columns_go_together_where_channels_are_few(channels, columns, together):
    """So many that an output place has 32 channels, or 64 of an image."""
    x, k = jnp.ones((1, 5, columns, channels[0])), jnp.ones((3, 3, *channels))
    text = str(jax.make_jaxpr(lambda x, k: convolution.layer(x, k, k[0, 0, 0], None))(x, k))
    assert f"window_strides=(1, {together})" in text


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_left_to_the_compiler(dtype):
    """Winograd's sums and differences lose bits that bfloat16 does not have."""
    x, k = jnp.ones((1, 24, 24, 256), dtype), jnp.ones((3, 3, 256, 256), dtype)
    text = str(jax.make_jaxpr(lambda x: convolution.layer(x, k, k[0, 0, 0], None))(x))
    assert "conv_general_dilated" in text
    assert "dot_general" not in text


@pytest.mark.slow
@pytest.mark.parametrize("align", ["exact", "center"])
@pytest.mark.parametrize(("stride", "size"), [(2, (5, 8)), (8, (17, 33)), (32, (75, 50))])
def test_upsampling_by_products_is_the_transposed_convolution(stride, size, align):
    shape = (2, -(-size[0] // stride), -(-size[1] // stride), 3)
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    sizes = jnp.asarray([[size[0], size[1]], [max(1, size[0] - stride), 1]])
    for true_sizes in (None, sizes):
        plain, ours = (
            upsample(x, stride, size, align, true_sizes, forms(for_cpu, False).interpolate)
            for for_cpu in (False, True)
        )
        np.testing.assert_allclose(ours, plain, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "remat"), [(8, False), (32, True)])
def test_a_network_written_for_cpus_is_the_same_network(stride: Any, remat: bool, monkeypatch):
    """At a width that uses both forms: logits and gradients."""
    monkeypatch.setattr(convolution, "SMALL", 1)
    rng = np.random.default_rng(0)
    images = jnp.asarray(60 * rng.normal(size=(2, 50, 40, 3)), jnp.float32)
    sizes, found = jnp.asarray([[50, 40], [33, 17]]), []
    params: Any = None
    for for_cpu in (False, True):
        model: Any = FCN(stride, 4, 2, remat=remat, for_cpu=for_cpu)
        if params is None:
            params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]

        def loss(params, model=model):
            logits = model.apply({"params": params}, images, sizes)
            return (logits**2).mean(), logits

        found.append(jax.jit(jax.value_and_grad(loss, has_aux=True))(params))

    def close(a, b):
        np.testing.assert_allclose(a, b, atol=2e-4 * float(jnp.abs(a).max() + 1e-30))

    jax.tree.map(close, *found)


def needed(model: Any, side: int, width: int) -> tuple[int, int]:
    """Temporary bytes of a gradient of one image, and the bytes of its parameters."""
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)

    def loss(params, images):
        return (model.apply({"params": params}, images) ** 2).mean()

    found: Any = jax.jit(jax.grad(loss)).lower(params, images).compile().memory_analysis()
    return found.temp_size_in_bytes, 4 * sum(p.size for p in jax.tree.leaves(params))


@pytest.mark.slow
def test_computing_again_needs_less_memory():
    """XLA's CPU backend undoes what `jax.checkpoint` does. The first block is worked in bands."""
    plain, again = (
        needed(FCN(32, 4, 8, remat=remat, for_cpu=True), 256, 8)[0] for remat in (False, True)
    )
    assert again < 0.65 * plain


@pytest.mark.slow
def test_what_is_before_a_relu_is_not_kept_beside_what_is_after_it(monkeypatch):
    """XLA computes a ReLU wherever its result is used, unless it is a program of its own."""
    sides, found = (160, 160), []
    layers = [
        {"kernel": jax.ShapeDtypeStruct((3, 3, i, o), jnp.float32)}
        | {"bias": jax.ShapeDtypeStruct((o,), jnp.float32)}
        for i, o in ((3, 64), (64, 64), (64, 64))
    ]
    x = jax.ShapeDtypeStruct((1, *sides, 3), jnp.float32)
    for activate in (convolution._activate, vgg.activate):
        monkeypatch.setattr(convolution, "_activate", activate)

        def loss(layers, x):
            return (cpu.block(x, layers, None, 0) ** 2).sum()

        compiled: Any = jax.jit(jax.grad(loss)).lower(layers, x).compile().memory_analysis()
        found.append(compiled.temp_size_in_bytes)
    activation = 4 * 64 * sides[0] * sides[1]
    assert found[0] <= found[1] - activation


@pytest.mark.slow
def test_transformed_kernels_are_not_kept(monkeypatch):
    """All of them together take 16/9 of the parameters; of a small image the rest is little."""
    monkeypatch.setattr(convolution, "SMALL", 1)
    temporary, parameters = needed(FCN(32, 4, 2, for_cpu=True), 64, 2)
    assert temporary < parameters


@pytest.mark.slow
@pytest.mark.parametrize(
    ("h", "w", "sizes"),
    [(67, 33, None), (96, 40, None), (130, 64, [[101, 50], [130, 64]]), (64, 9, [[64, 9], [3, 5]])],
)
def test_bands_of_the_first_block_give_its_gradients(h: int, w: int, sizes: Any):
    rng = np.random.default_rng(h)
    with jax.enable_x64(True):
        sizes = None if sizes is None else jnp.array(sizes)
        x = keep_valid(jnp.asarray(rng.normal(size=(2, h, w, 3))), sizes, 0)
        layers = [
            {"kernel": rng.normal(size=(3, 3, i, o)), "bias": rng.normal(size=o)}
            for i, o in ((3, 4), (4, 5))
        ]
        g = rng.normal(size=(2, -(-h // 2), -(-w // 2), 5))

        def gradients(block):
            return jax.jit(jax.grad(lambda *of: (block(*of, sizes, 0) * g).sum(), (0, 1)))

        whole, bands = (gradients(block)(x, layers) for block in (cpu.block, cpu.block_again))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9), whole, bands)


@pytest.mark.slow
@on_glibc
def test_freed_memory_is_kept():
    """An array of 100 MB, freed, stays with the process; without the option it does not."""
    code = (
        "import sys, numpy as np\n"
        "from jaxdl.devices.heap import keep_freed_memory\n"
        "kept = sys.argv[1] == 'yes' and keep_freed_memory()\n"
        "array = np.ones(25_000_000, np.float32); del array\n"
        "rss = next(l for l in open('/proc/self/status') if l.startswith('VmRSS'))\n"
        "print(int(kept), rss.split()[1])"
    )
    found = [
        subprocess.run([sys.executable, "-c", code, way], capture_output=True, text=True)
        for way in ("no", "yes")
    ]
    (_, without), (kept, within) = (map(int, done.stdout.split()) for done in found)
    assert kept
    assert within - without > 80_000


@pytest.mark.slow
@on_glibc
def test_large_arrays_come_back_to_their_place():
    """Thirty arrays of 100 and 50 MB, one after the other, among small ones that stay."""
    code = (
        "import ctypes, sys, jax  # as the steps that need it: on a heap that is in use\n"
        "from jaxdl.devices import heap as memory\n"
        "room, c = memory.temp_reservation(), ctypes.CDLL(None)\n"
        "c.malloc.restype = c.memalign.restype = ctypes.c_void_p\n"
        "c.malloc.argtypes = [ctypes.c_size_t]; c.memalign.argtypes = [ctypes.c_size_t] * 2\n"
        "c.free.argtypes = [ctypes.c_void_p]\n"
        "def peak():\n"
        "    line = next(l for l in open('/proc/self/status') if l.startswith('VmHWM'))\n"
        "    return int(line.split()[1]) * 1024\n"
        "before = peak()\n"
        "for n in range(30):\n"
        "    size = (100_000_000, 50_000_000)[n % 2]\n"
        "    if sys.argv[1] == 'room': room.grow(size); room.open()\n"
        "    array = c.memalign(64, size); c.malloc(900)\n"
        "    ctypes.memset(array, 1, size); c.free(array)\n"
        "    if sys.argv[1] == 'room': room.close()\n"
        "print(peak() - before)"
    )
    command = [sys.executable, "-c", code]
    found = [
        subprocess.run([*command, way], capture_output=True, text=True).stdout.strip()
        for way in ("room", "none")
    ]
    within, without = map(int, found)
    # How much the small ones are in the way depends on the heap's state: 150 and 200 MB, or 250
    # and 500, were seen. Since glibc 2.41 they never are: 100 MB.
    assert within < 0.8 * without or without < 1.1 * 100_000_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["train", "predict"])
def test_lowered_for_cuda_layers_are_convolutions_of_channels_last_without_transposes(kind: Any):
    """The layout that tensor cores want; images, activations and gradients keep it."""
    step = plan.fcn(8, kind, (64, 96), 2, "bfloat16", width=2)
    text = step.call.trace(*step.args).lower(lowering_platforms=("cuda",)).as_text()  # no GPU
    assert "stablehlo.transpose" not in text
    calls = re.findall(r"convolution\(.*dim_numbers = \[(.*?)\]x\[.*?\]->\[(.*?)\]", text)
    forward = [pair for pair in calls if pair == ("b, 0, 1, f", "b, 0, 1, f")]
    gradients = [pair for pair in calls if pair == ("f, 0, 1, b", "0, 1, b, f")]  # of kernels
    layers = 13 + 3
    if kind == "predict":
        assert len(forward) == len(calls) == layers + 6  # three upsamplings, rows and columns
    else:
        assert len(gradients) == layers
        assert len(forward) == len(calls) - layers
