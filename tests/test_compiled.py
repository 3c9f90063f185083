"""What a test run leaves to the next: programs that are whole, and not too many of them."""

import os
from pathlib import Path

import numpy as np
import pytest
from jax._src.compilation_cache import compress_executable

from tests.helpers import compiled


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A run's own, and one that stays."""
    own = tmp_path / "own"
    own.mkdir()
    return own, tmp_path / "top" / "jaxlib"


def entry(own: Path, name: str, seed: int = 0) -> bytes:
    """About 1,000 bytes that compress no further."""
    content = compress_executable(np.random.default_rng(seed).bytes(1000))
    (own / f"{name}-cache").write_bytes(content)
    return content


def test_the_next_run_has_what_was_whole(folders: tuple[Path, Path], tmp_path: Path):
    own, kept = folders
    content = entry(own, "whole")
    (own / "killed-cache").write_bytes(entry(own, "killed", 1)[:-9])
    compiled.keep(own, kept)
    compiled.keep(own, kept)
    (after := tmp_path / "after").mkdir()
    compiled.take(kept, after)
    assert {p.name: p.read_bytes() for p in after.iterdir()} == {"whole-cache": content}
    assert [p.name for p in kept.iterdir()] == ["whole-cache"]


def test_the_oldest_make_room_of_every_version(folders: tuple[Path, Path]):
    own, kept = folders
    other = kept.parent / "an older jaxlib"
    other.mkdir(parents=True)
    for age, (folder, name) in enumerate([(own, "new"), (other, "old"), (other, "older")]):
        entry(folder, name, age)
        os.utime(folder / f"{name}-cache", (1e9 - age, 1e9 - age))
    compiled.keep(own, kept, limit=2500)
    assert {p.name for p in kept.parent.glob("*/*")} == {"new-cache", "old-cache"}


def test_a_full_disk_fails_no_run(folders: tuple[Path, Path]):
    own, kept = folders
    entry(own, "whole")
    kept.parent.mkdir()
    kept.write_text("no folder can be made here")
    compiled.keep(own, kept)
