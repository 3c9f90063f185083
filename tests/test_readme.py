"""README.md's commands and snippets, as a reader runs them in a folder of their own things.

Added are options that shorten a training (`LESS`), and nothing else.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers import processes

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("readme")]

TEXT = (processes.ROOT / "README.md").read_text()
USE = TEXT.split("## Use\n")[1].split("\n## ")[0]
FENCES = re.findall(r"```(\w*)\n(.*?)```", USE, re.DOTALL)
COMMANDS = [line for kind, code in FENCES if not kind for line in code.splitlines()]
SNIPPETS = [code for kind, code in FENCES if kind == "python"]
LESS = {
    "jaxdl fcn train": "--epochs 1 --width-divisor 32 --stages 32",
    "jaxdl lstm train": "--steps 20 --log-every 20 --seeds 1",
    "jaxdl word2vec train": "--epochs 2",
    'fit("photos/"': 'fit("photos/", epochs=1, width_divisor=32, stages=(32,)',
    "epochs=5": "epochs=2",
    "Forecaster(seeds=3": "Forecaster(seeds=1, steps=20, log_every=20",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photos, the text and the series that the page speaks of."""
    folder, rng = tmp_path_factory.mktemp("readme"), np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / "photos" / name).mkdir(parents=True)
    for n in range(8):
        mask = np.zeros((40, 48), np.uint8)
        mask[5 + n : 25 + n, 10:30] = 255
        photo = rng.integers(0, 90, (40, 48, 3), np.uint8) + mask[..., None] // 2
        Image.fromarray(mask).save(folder / "photos" / "masks" / f"{n}.png")
        Image.fromarray(photo).save(folder / "photos" / "images" / f"{n}.jpg")
    (folder / "photos" / "images" / "0.jpg").rename(folder / "photo.jpg")
    (folder / "photos" / "masks" / "0.png").unlink()
    royal = "the king and the queen rule a land", "a man and a woman walk in the land"
    (folder / "text.txt").write_text("\n".join(royal * 40) + "\n")
    months = np.arange("2010-01", "2016-01", dtype="datetime64[M]")
    level = 50 + np.arange(72) / 5 + 9 * np.sin(np.arange(72) * np.pi / 6) + rng.normal(size=72)
    rows = [f"{month},{value:.3f}" for month, value in zip(months, level, strict=True)]
    (folder / "flow.csv").write_text("month,level\n" + "\n".join(rows) + "\n")
    return folder


def test_the_commands_run(home: Path):
    own = {"env": processes.environment(processes.OLDER) | {"PYTHONPATH": str(processes.ROOT)}}
    for line in COMMANDS:
        words = shlex.split(line)
        words += shlex.split(LESS.get(" ".join(words[:3]), ""))
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, **own)
        assert done.returncode == 0, (line, done.stderr)
    assert list((home / "predictions").glob("photo*.png"))
    assert len((home / "prediction.csv").read_text().splitlines()) == 13
    assert (home / "runs" / "words" / "vectors.bin").is_file()


@pytest.mark.parametrize("number", range(4))
def test_the_snippets_run(number: int, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(home)
    assert len(SNIPPETS) == 4
    code = SNIPPETS[number]
    for words, less in LESS.items():
        code = code.replace(words, less)
    names: dict[str, Any] = {}
    exec(code, names)
    if number == 0:
        assert names["picture"].shape == (40, 48, 3)
    if number == 3:
        assert float(names["loss"]) < 0.5


def test_all_of_the_page_is_run():
    """What is outside of that section is the installation, which `make smoke` runs."""
    assert len(COMMANDS) == 6
    others = re.findall(r"^jaxdl .*$", TEXT.replace(USE, ""), re.MULTILINE)
    assert not others
