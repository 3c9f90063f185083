"""PyTorch's FCN on the same card: channels-last, TF32 or autocast, compiled where there is time."""

from collections.abc import Callable
from typing import Any

from benchmarks.gpu.record import Recorder, Timing
from benchmarks.gpu.record import measure as measure_jax

CLASSES = 21
INDUCTOR = 60  # seconds that torch.compile may take for a program


def measure(call: Callable[[], Any], seconds: float, torch: Any) -> Timing:
    """As `record.measure`, waiting for PyTorch's device."""

    def wait() -> Any:
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return ()

    return measure_jax(wait, seconds)


def make(case: Any, form: str, quick: bool, compiled: bool, torch: Any) -> Callable[[], Any]:
    """A training step, or a prediction, on a batch that lies on the device."""
    from benchmarks.gpu.fcn import draw
    from benchmarks.torch_fcn import Network, loss_of

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Network(case.stride, CLASSES, 32 if quick else 1, form).to(device)
    network = network.to(memory_format=torch.channels_last)
    run = torch.compile(network) if compiled else network
    canvas = (32, 64) if quick else (512, 512)
    batch = draw(canvas, case)
    images = torch.from_numpy(batch.images).to(device)
    labels = torch.from_numpy(batch.labels).to(device).long()
    mean = torch.tensor((123.68, 116.779, 103.939), device=device)[None, :, None, None]
    half = torch.autocast(device, torch.bfloat16, enabled=case.dtype == "bfloat16")
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9)

    def forward() -> Any:
        x = images.permute(0, 3, 1, 2).float() - mean
        with half:
            return run(x.contiguous(memory_format=torch.channels_last))

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(forward().float(), labels)
        loss.backward()
        optimizer.step()
        return loss

    @torch.inference_mode()
    def predict() -> Any:
        return forward().argmax(1)

    return step if case.kind == "train" else predict


def run(recorder: Recorder) -> None:
    """See the module."""
    try:
        import torch  # pyrefly: ignore[missing-import]
    except ImportError:
        recorder.skip("PyTorch", "not installed here")
        return
    from benchmarks.gpu.fcn import STREAM, cases

    if not torch.cuda.is_available() and not recorder.quick:
        recorder.skip("PyTorch", f"torch {torch.__version__} sees no GPU")
        return
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    seconds, best = (0.2, "depthwise") if recorder.quick else (1.0, "")
    wanted = [case for case in cases(recorder.quick) if case.size != STREAM]
    wanted = [case for case in wanted if case.updates == 1][: 1 if recorder.quick else 12]
    variants = [(case, False) for case in wanted]
    variants += [] if recorder.quick else [(case, True) for case in wanted[1:4]]

    def name(variant: tuple[Any, bool]) -> str:
        case, compiled = variant
        return f"PyTorch {case.name}{', torch.compile' if compiled else ''}"

    def one(variant: tuple[Any, bool]) -> None:
        nonlocal best
        case, compiled = variant
        if compiled and recorder.left() < INDUCTOR:
            recorder.skip(name(variant), "no time left (--minutes)")
            return
        found, call = {}, None
        for form in (best,) if best else ("depthwise", "separable", "dense"):
            call = None  # the last form's memory does not count
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            call = make(case, form, recorder.quick, compiled, torch)
            found[form] = measure(call, seconds, torch)
        best = min(found, key=lambda form: found[form].median)
        note = f"torch {torch.__version__}, upsampling {best}"
        about: dict[str, Any] = {"case": case._asdict(), "compiled": compiled}
        if torch.cuda.is_available():
            about["peak"] = torch.cuda.max_memory_allocated()
            note += f", peak {about['peak'] / 1e9:.2f} GB"
        recorder.rate(name(variant), "images/s", case.batch, found[best], note=note, **about)

    recorder.run(variants, name, one)
