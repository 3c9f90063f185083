"""What a reader of the pages has in a folder: photos, text, a series, and what others publish."""

import gzip
import shutil
from pathlib import Path

import numpy as np
from PIL import Image


def draw(folder: Path) -> None:
    """Eight photos with a bright rectangle, and masks in which it is white."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for n in range(8):
        inside = np.zeros((40, 48), np.uint8)
        inside[5 + n : 25 + n, 10:30] = 1
        photo = rng.integers(0, 90, (40, 48, 3), np.uint8) + 127 * inside[..., None]
        Image.fromarray(inside * 255).save(folder / "masks" / f"{n}.png")
        Image.fromarray(photo).save(folder / "images" / f"{n}.jpg")


def write_own(folder: Path) -> None:
    """What README.md speaks of: photos/ and photo.jpg, text.txt, flow.csv."""
    draw(folder / "photos")
    (folder / "photos" / "images" / "0.jpg").rename(folder / "photo.jpg")
    (folder / "photos" / "masks" / "0.png").unlink()
    royal = "the king and the queen rule a land", "a man and a woman walk in the land"
    (folder / "text.txt").write_text("\n".join(royal * 40) + "\n")
    months = np.arange("2010-01", "2016-01", dtype="datetime64[M]")
    noise = np.random.default_rng(0).normal(size=72)
    level = 50 + np.arange(72) / 5 + 9 * np.sin(np.arange(72) * np.pi / 6) + noise
    rows = [f"{month},{value:.3f}" for month, value in zip(months, level, strict=True)]
    (folder / "flow.csv").write_text("month,level\n" + "\n".join(rows) + "\n")


def write_more(folder: Path) -> None:
    """What the other pages speak of, after README.md's commands: runs by their names there too."""
    draw(folder / "more-photos")
    (folder / "another-folder").symlink_to(folder / "photos" / "images")
    for name in ("another.png", "new.jpg"):  # a picture is recognised by its content
        shutil.copy(folder / "photo.jpg", folder / name)
    (folder / "more.txt.gz").write_bytes(gzip.compress(b"a queen walks\n"))
    for name in ("wordsim353.tsv", "simlex999.txt"):
        (folder / name).write_text("king\tqueen\t9\nman\twoman\t8\nking\tland\t2\n")
    (folder / "questions-words.txt").write_text(": royal\nking queen man woman\n")
    (folder / "glove.100d.txt").write_text(f"king {'1 ' * 100}\n")
    (folder / "longer.csv").write_text((folder / "flow.csv").read_text() + "2016-01,70\n")
    for name in ("demo/fcn", "a", "b"):
        shutil.copytree(folder / "runs" / "photos", folder / "runs" / name)
    (folder / "runs" / "word2vec").symlink_to(folder / "runs" / "words")
