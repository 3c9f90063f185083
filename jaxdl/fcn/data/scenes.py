"""The embedded demo data: seeded scenes of textured objects, written as a real VOCdevkit tree.

A stand-in for photographs where none can be had: uneven light, textured ground with blotches in
the objects' colours, six classes of textured objects that overlap and are cut by the frame, some
of them thin, JPEG noise, sizes and aspect ratios that vary, and a rim of void (255) around each
object as in PASCAL VOC. What it asks of a network is VOC's question in small: what is where, with
outlines finer than one score of a stride-32 map.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxdl.errors import InputError, writing
from jaxdl.fcn.data.decode import VOID
from jaxdl.fcn.data.voc import palette
from jaxdl.files.locks import one_at_a_time

SCENE_CLASSES = ("background", "ball", "box", "tent", "pole", "tyre", "cross")
OTHER_CLASSES = ("background", "moon", "star")  # to fine-tune on
FORMAT = 1  # Raised when the pictures change, so that an older tree is written again.
VOID_RIM = 0.9  # Half the width of the void rim, pixels.

# Two colours of each class's texture; the scene's light and a jitter move them.
COLOURS = {
    "ball": ((205, 70, 60), (240, 150, 120)),
    "box": ((60, 90, 190), (120, 160, 225)),
    "tent": ((215, 180, 60), (150, 110, 40)),
    "pole": ((225, 225, 225), (190, 60, 60)),
    "tyre": ((45, 45, 50), (95, 95, 105)),
    "cross": ((60, 150, 80), (150, 205, 110)),
    "moon": ((235, 225, 170), (190, 180, 140)),
    "star": ((150, 80, 170), (215, 160, 60)),
}


def _noise(rng: np.random.Generator, shape: tuple[int, int], cell: int) -> np.ndarray:
    """Smooth noise in [0, 1]: a coarse random grid of `cell` pixels, enlarged bicubically."""
    grid = rng.random((shape[0] // cell + 2, shape[1] // cell + 2)).astype(np.float32)
    image = Image.fromarray(grid).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(image, np.float64)


def _polygon_distance(x: np.ndarray, y: np.ndarray, sides: int, radius: float) -> np.ndarray:
    """Signed distance (up to the corners) to a regular polygon with inscribed `radius`."""
    angles = 2 * np.pi * np.arange(sides) / sides
    return np.max([x * np.cos(a) + y * np.sin(a) for a in angles], axis=0) - radius


def _distance(kind: str, x: np.ndarray, y: np.ndarray, size: float, thin: float) -> np.ndarray:
    """Signed distance in pixels to an object of about `size` pixels; negative is inside."""
    match kind:
        case "ball":
            return np.hypot(x, 1.15 * y) - size / 2
        case "box":
            return np.maximum(np.abs(x) - size / 2, np.abs(y) - 0.36 * size)
        case "tent":
            return _polygon_distance(x, y, 3, 0.3 * size)
        case "pole":
            return np.maximum(np.abs(x) - 1.1 * size, np.abs(y) - thin)
        case "tyre":
            return np.abs(np.hypot(x, y) - 0.4 * size) - 1.2 * thin
        case "moon":
            return np.maximum(np.hypot(x, y) - size / 2, 0.42 * size - np.hypot(x - 0.28 * size, y))
        case "star":
            angle = np.abs((np.arctan2(y, x) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
            return np.hypot(x, y) * np.cos(angle - 0.95) - 0.17 * size
        case _:  # cross
            arm = 0.8 * thin + 0.05 * size
            bars = [np.maximum(np.abs(a) - size / 2, np.abs(b) - arm) for a, b in ((x, y), (y, x))]
            return np.minimum(*bars)


def _texture(kind: str, x: np.ndarray, y: np.ndarray, phase: float, pitch: float) -> np.ndarray:
    """The class's pattern in object coordinates, in [0, 1]."""
    u, v = 2 * np.pi * x / pitch + phase, 2 * np.pi * y / pitch
    match kind:
        case "ball":
            return np.clip(0.5 + (x + y) / 40, 0, 1)
        case "box":
            return 0.5 + 0.5 * np.sign(np.sin(u) * np.sin(v))
        case "tent":
            return 0.5 + 0.5 * np.sin(u)
        case "pole":
            return (np.sin(u / 2) > 0.2).astype(np.float64)
        case "tyre":
            return 0.5 + 0.5 * np.sin(3 * np.arctan2(y, x) * 4 + phase)
        case "moon":
            return 0.5 + 0.5 * np.sin(0.7 * u) * np.sin(0.9 * v)
        case "star":
            return 0.5 + 0.5 * np.sin(0.6 * np.hypot(u, v))
        case _:
            return 0.5 + 0.5 * np.sin(u) * np.cos(v)


def make_scene(
    rng: np.random.Generator, height: int, width: int, classes: Sequence[str] = SCENE_CLASSES
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """One scene: picture (uint8 RGB) and label (uint8 class index, 255 on the rims)."""
    colours_of = np.array([COLOURS[name] for name in classes[1:]], np.float64)
    shape = (height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    tone = rng.uniform(70, 170) + rng.uniform(-25, 25, 3)
    ground = np.broadcast_to(tone, (*shape, 3)).copy()
    for cell, strength in ((40, 60), (13, 35), (4, 25)):
        tint = strength * rng.uniform(0.5, 1.0) * (1 + rng.uniform(-0.35, 0.35, 3))
        ground += (_noise(rng, shape, cell) - 0.5)[..., None] * tint
    # Blotches in the objects' colours: colour alone does not make an object.
    for _ in range(rng.integers(1, 4)):
        colour = colours_of[rng.integers(1, len(classes)) - 1, rng.integers(2)]
        share = 0.4 * np.clip(_noise(rng, shape, 24) * 3 - 1.8, 0, 1)[..., None]
        ground = ground * (1 - share) + colour * share
    picture, label = ground, np.zeros(shape, np.uint8)
    for _ in range(rng.integers(3, 7)):
        index = int(rng.integers(1, len(classes)))
        kind = classes[index]
        size, thin = rng.uniform(22, 58), rng.uniform(2.5, 4.5)
        turn = rng.uniform(0, 2 * np.pi)
        dx = columns - rng.uniform(0.08, 0.92) * width
        dy = rows - rng.uniform(0.08, 0.92) * height
        x = np.cos(turn) * dx + np.sin(turn) * dy
        y = np.cos(turn) * dy - np.sin(turn) * dx
        distance = _distance(kind, x, y, size, thin)
        pattern = _texture(kind, x, y, rng.uniform(0, 6), rng.uniform(7, 12))[..., None]
        colours = colours_of[index - 1] + rng.uniform(-18, 18, 3)
        paint = colours[0] * (1 - pattern) + colours[1] * pattern
        paint = paint * (1 + 0.25 * (_noise(rng, shape, 9) - 0.5))[..., None]
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        picture = picture * (1 - cover) + paint * cover
        label[distance < 0] = index
        label[np.abs(distance) < VOID_RIM] = VOID
    light = 0.75 + 0.5 * _noise(rng, shape, 64)
    picture = picture * light[..., None] + rng.normal(0, 4, (*shape, 3))
    return np.clip(picture, 0, 255).astype(np.uint8), label


def _write_tree(
    year: Path,
    train: int,
    val: int,
    seed: int,
    classes: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> None:
    """One year's folder of a VOCdevkit."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (year / folder).mkdir(parents=True)
    ids = [f"scene_{i:04d}" for i in range(train + val)]
    colours = palette().ravel().tolist()

    def write(i: int) -> None:
        rng = np.random.default_rng([seed, i])
        height, width = (int(v) for v in rng.integers(88, 129, 2))
        picture, label = make_scene(rng, height, width, classes)
        Image.fromarray(picture).save(year / "JPEGImages" / f"{ids[i]}.jpg", quality=90)
        indexed = Image.fromarray(label)
        indexed.putpalette(colours)
        indexed.save(year / "SegmentationClass" / f"{ids[i]}.png")

    with ThreadPoolExecutor(2) as pool:  # NumPy and Pillow let other threads run for half of it
        for done, _ in enumerate(pool.map(write, range(len(ids))), 1):
            if progress is not None:
                progress(done, len(ids))
    for name, part in (("train", ids[:train]), ("val", ids[train:]), ("trainval", ids)):
        text = "".join(f"{i}\n" for i in part)
        (year / "ImageSets" / "Segmentation" / f"{name}.txt").write_text(text)
    (year / "class_names.txt").write_text("".join(f"{c}\n" for c in classes))


def write_scenes(
    root: Path,
    *,
    train: int,
    val: int,
    seed: int,
    classes: Sequence[str] = SCENE_CLASSES,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the scenes as ``root/VOCdevkit/VOC2012``, once; returns the VOCdevkit folder.

    Args:
        root: holds the tree; written under a temporary name and renamed when it is complete. Other
            scenes there are replaced; InputError if it holds anything else.
        train: number of training scenes.
        val: number of test scenes.
        seed: scene i of a seed is always the same picture.
        classes: the background first, then some of `COLOURS`.
        progress: called with (done, of) as scenes are written.
    """
    own = {} if classes == SCENE_CLASSES else {"classes": [*classes]}
    wanted = json.dumps({"format": FORMAT, "train": train, "val": val, "seed": seed, **own})
    devkit, mark = root / "VOCdevkit", root / "scenes.json"

    def done() -> bool:
        return devkit.is_dir() and mark.is_file() and mark.read_text() == wanted

    if done():
        return devkit
    if root.exists() and not mark.is_file() and (root.is_file() or any(root.iterdir())):
        raise InputError(f"{root}: not a folder of scenes; move it away or choose another folder")
    # One name for all calls, so that files left by a killed process are removed.
    partial, old = (root.with_name(f".{root.name}.{suffix}") for suffix in ("partial", "old"))
    with one_at_a_time(root.parent):
        if done():  # another process may have written them while we waited
            return devkit
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        try:
            _write_tree(partial / devkit.name / "VOC2012", train, val, seed, classes, progress)
            (partial / mark.name).write_text(wanted)
            if root.exists():
                root.rename(old)
            partial.rename(root)
        except OSError:
            with writing(root):
                raise
        finally:
            for left in (partial, old):
                shutil.rmtree(left, ignore_errors=True)
    return devkit
