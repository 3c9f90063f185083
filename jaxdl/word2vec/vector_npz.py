"""Reading the .npz of word vectors: two arrays in a zip, as `save_npz` writes them."""

import math
import re
import struct
import zipfile
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.limits import check_unpacked
from jaxdl.files.text import show

_NPY = rb"\{'descr': '(%b)', 'fortran_order': False, 'shape': \(([\d, ]{1,50})\), \}\s*"


def read_npz(
    path: Path, stream: BufferedIOBase, size: int, mmap: bool
) -> tuple[list[str], np.ndarray]:
    """Words and table, float32 or float16 (V, D); on the disk if `mmap`.

    Args:
        path: of the file.
        stream: its bytes, unpacked.
        size: their number.
        mmap: maps the table, so that it takes memory where it is read only.

    Raises:
        InputError: it is another zip, the arrays do not fit, or they cannot be mapped.
    """
    with zipfile.ZipFile(stream) as archive:
        names = archive.namelist()
        if not any(name.endswith(".npy") for name in names):
            raise InputError(f"{path}: is a zip of {show(names[0] if names else '')}; unpack it")
        raw = _member(path, stream, archive, "words", "|u1", 1, size, False)
        table = _member(path, stream, archive, "vectors", "<f[24]", 2, size, mmap)
    if (count := 1 + np.count_nonzero(raw == ord("\n"))) != len(table):
        text = f"{count} words, for vectors {table.shape}"
        raise InputError(f"{path}: {text}; write it with save_npz")
    words = raw.tobytes().decode("utf-8", "surrogateescape").split("\n")
    if not all(words):
        text = f"{len(words)} words, {words.count('')} of them empty, for vectors {table.shape}"
        raise InputError(f"{path}: {text}; write it with save_npz")
    return words, table


def _member(
    path: Path,
    stream: BufferedIOBase,
    archive: zipfile.ZipFile,
    name: str,
    dtypes: str,
    ndim: int,
    size: int,
    mmap: bool,
) -> np.ndarray:
    """An array of an .npz, with its size held against the file's before it is read."""
    if f"{name}.npy" not in archive.namelist():
        raise InputError(f"{path}: no array {name!r}; give an .npz that save_npz wrote")
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        # NumPy's reader would evaluate the header as Python; this is what its writer puts there.
        file.read(8)
        header = file.read(int.from_bytes(file.read(2), "little"))
        match = re.fullmatch(_NPY % dtypes.replace("|", "[|]").encode(), header)
        shape = tuple(map(int, re.findall(rb"\d+", match[2]))) if match else ()
        if match is None or len(shape) != ndim or 0 in shape:
            kind = "float32 or float16" if ndim == 2 else "uint8"
            text = f"{name} is {show(header.strip())}, expected {ndim}-D {kind} in C order"
            raise InputError(f"{path}: {text}; write it with save_npz")
        dtype = np.dtype(match[1].decode())
        least, there = math.prod(shape) * dtype.itemsize, info.file_size - 10 - len(header)
        known = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        check_unpacked(path, size, info.file_size)
        if not known or least != there:
            text = f"{name} {shape} takes {least} bytes, and {there} are there"
            raise InputError(f"{path}: {text}; fetch the file again")
        if mmap:
            return _mapped(path, stream, info, 10 + len(header), dtype, shape)
        return np.frombuffer(file.read(), dtype).reshape(shape)


def _mapped(
    path: Path,
    stream: BufferedIOBase,
    info: zipfile.ZipInfo,
    skip: int,
    dtype: np.dtype,
    shape: tuple[int, ...],
) -> np.ndarray:
    """The array of a member that is not packed, on the disk, `skip` bytes behind its start."""
    stream.seek(info.header_offset)
    head = stream.read(30)
    with path.open("rb") as file:
        packed = file.read(2) != b"PK" or info.compress_type != zipfile.ZIP_STORED
    if packed or len(head) < 30:
        raise InputError(f"{path}: is packed, and cannot be mapped; load it without mmap")
    name, extra = struct.unpack("<HH", head[26:])
    start = info.header_offset + len(head) + name + extra + skip
    return np.memmap(path, dtype, "r", start, shape)
