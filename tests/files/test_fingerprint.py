"""A run does not resume with inputs of other content."""

import os
from pathlib import Path

import pytest

from jaxdl.errors import InputError
from jaxdl.files.fingerprint import check_unchanged, fingerprint, of_files

OUT = Path("runs/x")


def test_content_counts_and_nothing_else(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("one two")
    kept = of_files([path])
    assert kept[0]["name"] == "a.txt"
    assert kept[0]["size"] == 7
    assert len(kept[0]["sha256"]) == 64
    check_unchanged(OUT, kept, [path])
    os.utime(path, ns=(1, 1))
    check_unchanged(OUT, kept, [path])  # copied, or written again
    path.write_text("one twa")
    with pytest.raises(InputError, match=r"^runs/x: .*a\.txt holds another content, and .*--out"):
        check_unchanged(OUT, kept, [path])
    path.write_text("one two three")
    with pytest.raises(InputError, match=r"a\.txt holds 13 bytes, and held 7 when this run began"):
        check_unchanged(OUT, kept, [path])
    path.unlink()
    with pytest.raises(InputError, match=r"a\.txt: cannot be read \(No such file"):
        check_unchanged(OUT, kept, [path])


def test_a_second_start_reads_nothing(tmp_path: Path):
    """Told by a content that cannot be the recorded one, under the recorded size and time."""
    path = tmp_path / "a.txt"
    path.write_text("one two")
    kept = fingerprint(path)
    path.write_text("one twa")
    os.utime(path, ns=(kept["mtime_ns"], kept["mtime_ns"]))
    check_unchanged(OUT, [kept], [path])


@pytest.mark.parametrize("damaged", [[None], [{}], [{"size": 7, "mtime_ns": 0, "sha256": 1}], []])
def test_a_damaged_record_vouches_for_nothing(damaged: list, tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("one two")
    with pytest.raises(InputError, match="when this run began"):
        check_unchanged(OUT, damaged, [path])
    check_unchanged(OUT, None, [path])  # of before fingerprints were kept
