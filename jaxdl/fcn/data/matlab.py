"""SBD's .mat files (MATLAB 5) -> arrays, in bounded memory and time."""

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int32

from jaxdl.errors import InputError
from jaxdl.fcn.data.archives import RESTORE
from jaxdl.fcn.data.decode import check_values
from jaxdl.files.text import reason

MOST_MAT = 1 << 24  # bytes of an unpacked .mat; SBD's have about one MiB
_PACKED = 15  # type of an element of a .mat that holds another one, packed


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of the elements of a MAT 5 file, or of one that holds others."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:  # up to four bytes, inside the tag
            yield kind & 0xFFFF, data[at + 4 : at + 4 + (kind >> 16)]
            at += 8
            continue
        content = data[at + 8 : at + 8 + size]
        if len(content) < size:
            raise ValueError("cut short")
        yield kind, content
        at += 8 + size + (0 if kind == _PACKED else -size % 8)


def _variables(data: bytes) -> Iterator[bytes]:
    """The content of each matrix of a MAT 5 file, unpacked."""
    if data[124:128] != b"\x00\x01IM":
        raise ValueError("not a little-endian MATLAB 5 file")
    left = MOST_MAT
    for kind, content in _elements(data[128:]):
        inside = [(kind, content)]
        if kind == _PACKED:
            content = zlib.decompressobj().decompress(content, left + 1)
            inside = _elements(content)
        left -= len(content)
        if left < 0:
            raise ValueError(f"unpacks to more than {MOST_MAT >> 20} MiB")
        yield from (held for kind, held in inside if kind == 14)


def _matrix(content: bytes) -> tuple[int, tuple[int, ...], bytes, list[tuple[int, bytes]]]:
    """Class, shape, name and the other elements of a MAT 5 matrix."""
    (_, flags), (_, shape), (_, name), *rest = _elements(content)
    return flags[0], struct.unpack(f"<{len(shape) // 4}i", shape), name, rest


def read_mat(data: bytes, name: str, num_classes: int) -> Int32[np.ndarray, "h w"]:
    """SBD's cls/ID.mat: GTcls.Segmentation, uint8; IGNORE where it holds 255.

    Read here, as SciPy takes memory by the shapes that a file claims: 200 bytes can ask for 16 GiB.
    Source: MathWorks, "MAT-File Format", level 5.
    """
    try:
        top = map(_matrix, _variables(data))
        kind, shape, _, rest = next(matrix for matrix in top if matrix[2] == b"GTcls")
        if kind != 2 or shape != (1, 1):
            raise ValueError("GTcls is no struct")
        (_, length), (_, names), *fields = rest
        step = int.from_bytes(length, "little") or len(names)
        keys = [names[at : at + step].rstrip(b"\0") for at in range(0, len(names), step)]
        kind, shape, _, rest = _matrix(fields[keys.index(b"Segmentation")][1])
    # What broken bytes make of the lines above, StopIteration too.
    except Exception as error:
        raise InputError(f"{name}: no GTcls.Segmentation ({reason(error)}); {RESTORE}") from error
    if kind != 9 or len(shape) != 2 or not rest or rest[0][0] != 2:
        raise InputError(f"{name}: the label is no matrix of uint8; {RESTORE}")
    pixels = rest[0][1]
    if min(shape) < 1 or len(pixels) != math.prod(shape):
        raise InputError(f"{name}: {len(pixels)} pixels for a label of {shape}; {RESTORE}")
    label = np.frombuffer(pixels, np.uint8).reshape(shape, order="F")
    return check_values(np.ascontiguousarray(label), name, num_classes)
