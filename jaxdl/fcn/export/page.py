"""``predict.html``: a run's networks on one page that computes with them, without a server.

The page holds the parameters as they are (float32), two scripts of our own and a few photos. Its
Content-Security-Policy allows what has their hashes, and no address.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from jaxdl.errors import InputError
from jaxdl.fcn.data.archives import MOST
from jaxdl.fcn.data.decode import decode
from jaxdl.fcn.models.vgg import BLOCKS
from jaxdl.fcn.saved import Saved, Which, load
from jaxdl.files.atomic import write_bytes
from jaxdl.files.limits import read_bytes
from jaxdl.files.text import clip
from jaxdl.report.reading import Notes
from jaxdl.report.scripted import base64_text, render_page
from jaxdl.training import checkpoint
from jaxdl.training.steps import Say

FILE = "predict.html"
LARGEST = 5 << 20  # bytes of a page with several networks
_SIDE = 640  # pixels, as in predict.html.j2
_STAGES = ("fcn32s", "fcn16s", "fcn8s")
_OWN = Path(__file__).parent


class Page(NamedTuple):
    """What was written.

    Attributes:
        size: bytes.
        stages: strides of the networks on it.
        left_out: strides of those that it would have become too large with.
    """

    size: int
    stages: tuple[int, ...]
    left_out: tuple[int, ...]


def read_stages(run: Path, which: Which = "best", say: Say = print) -> list[Saved]:
    """The networks of a run that have a checkpoint, coarse to fine; or the one that a path means.

    Raises:
        InputError: as `jaxdl.fcn.saved.load`.
    """
    found = [run / name for name in _STAGES if checkpoint.steps(run / name / "checkpoints")]
    return [load(path, which, say) for path in found or [run]]


def export_page(
    run: Path,
    path: Path,
    which: Which = "best",
    write: Callable[[Path, bytes], None] = write_bytes,
    say: Say = print,
) -> Page:
    """Write the page of a run, or of the one network that a path means, with the run's photos.

    Args:
        run: as `jaxdl.fcn.saved.load` takes it; of a run, all its stages.
        path: where to.
        which: of several steps, the last or that of the best test mean IU.
        write: writes it.
        say: gets the lines for the user.

    Raises:
        InputError: as `jaxdl.fcn.saved.load` and `write_page`.
    """
    stages = read_stages(run, which, say)
    found = write_page(path, stages, read_photos(stages[-1].run or run), write)
    names, left = (", ".join(f"FCN-{n}s" for n in each) for each in (found.stages, found.left_out))
    say(f"{names} on a page of {found.size / 1e6:.1f} MB: {path}")
    if left:
        say(f"left out: {left} (the page would be above {LARGEST >> 20} MB; name a stage)")
    width = stages[-1].model.width
    if width < 8:
        say(f"--width-divisor {width}: a photo takes {(8 / width) ** 2:.0f} times the demo's time")
    return found


def read_photos(run: Path) -> list[tuple[str, bytes]]:
    """Name and JPEG of the test images that the run's report shows; those that can be read."""
    notes = Notes(run)
    listed = notes.json("samples/samples.json", [{"id": str}], [])
    read = [(one["id"], notes.read(_photo, f"samples/{one['id']}.jpg", b"")) for one in listed]
    return [(clip(name, 60), content) for name, content in read if content]


def _photo(path: Path) -> bytes:
    """A JPEG as it is, but no larger than the page computes it by default."""
    content = read_bytes(path, MOST)
    picture = decode(content, str(path), ("JPEG",))
    if max(picture.size) <= _SIDE:
        return content
    file, rgb = io.BytesIO(), picture.convert("RGB")
    rgb.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    rgb.save(file, "JPEG", quality=90)
    return file.getvalue()


def write_page(
    path: Path,
    stages: Sequence[Saved],
    photos: Sequence[tuple[str, bytes]] = (),
    write: Callable[[Path, bytes], None] = write_bytes,
) -> Page:
    """Write the page: one file that needs no other.

    Args:
        path: where to.
        stages: networks, coarse to fine. If they make the page larger than `LARGEST`, it gets the
            last alone, however large that is.
        photos: name and JPEG of each test image.
        write: writes it.

    Raises:
        InputError: a parameter is not finite.
    """
    content, shown = _render(stages, photos), list(stages)
    if len(content) > LARGEST and len(shown) > 1:
        shown = shown[-1:]
        content = _render(shown, photos)
    write(path, content)
    strides = tuple(one.model.stride for one in shown)
    left = tuple(one.model.stride for one in stages if one.model.stride not in strides)
    return Page(len(content), strides, left)


def _render(stages: Sequence[Saved], photos: Sequence[tuple[str, bytes]]) -> bytes:
    """The page's bytes."""
    described, weights = zip(*map(_network, stages), strict=True)
    last = stages[-1]
    data = {
        "networks": described,
        "classes": last.classes,
        "colours": [f"#{bytes(colour).hex()}" for colour in last.colours[: len(last.classes)]],
        "photos": [{"name": name, "jpeg": base64_text(content)} for name, content in photos],
    }
    return render_page(
        _OWN / "predict.html.j2",
        [_OWN / "predict.js", _OWN / "predict_view.js"],
        _OWN / "predict.css",
        data,
        {"worker-src": "blob:", "img-src": "blob: data:"},
        network=Markup((_OWN / "network.js").read_text("utf-8")),
        weights=list(enumerate(map(base64_text, weights))),
    )


def _network(saved: Saved) -> tuple[dict[str, Any], bytes]:
    """A network as `network.js` builds it: its description, and its numbers layer by layer."""
    model, numbers = saved.model, []

    def layer(name: str, arrays: Any) -> dict[str, int]:
        kernel, bias = (np.asarray(arrays[key], np.float32) for key in ("kernel", "bias"))
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            text = f"{name} holds numbers that are not finite; name another checkpoint"
            raise InputError(f"{saved.origin}: {text}")
        numbers.extend((kernel.astype("<f4").tobytes(), bias.astype("<f4").tobytes()))
        return {"side": kernel.shape[0], "inputs": kernel.shape[2], "outputs": kernel.shape[3]}

    trunk = saved.params["trunk"]
    blocks = [
        [layer(name, trunk[name]) for name in (f"conv{b}_{n + 1}" for n in range(count))]
        for b, (_, count) in enumerate(BLOCKS, 1)
    ]
    levels = [level for level in (3, 4, 5) if 2**level >= model.stride]
    names = {level: f"score_pool{level}" for level in levels}
    described = {
        "name": f"FCN-{model.stride}s",
        "step": saved.step,
        "stride": model.stride,
        "align": model.align,
        "mean": [float(np.float32(n)) for n in saved.mean],
        "blocks": blocks,
        "scores": [(level, layer(name, saved.params[name])) for level, name in names.items()],
    }
    return described, b"".join(numbers)
