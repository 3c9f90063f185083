"""What no file may do to its reader: anything but a value or one line, beyond bounded memory."""

import contextlib
import resource
import signal
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from jaxdl.errors import InputError

T = TypeVar("T")
ROOM = 1 << 30  # bytes of address space that a reader may ask for
GROWTH = 300  # MiB that the process may grow by
PATIENCE = 60  # seconds; all is done in less than three, but the machine may be busy


def _status(key: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{key}:")[1].split()[0]) << 10


def _hangs(*_: Any) -> None:
    raise AssertionError(f"no answer in {PATIENCE} s")


def forget_peak() -> None:
    """What the process has taken so far no longer hides what a reader takes."""
    with contextlib.suppress(OSError):  # not every kernel lets it
        Path("/proc/self/clear_refs").write_text("5")


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """No more address space than ROOM, no growth above GROWTH, an end within PATIENCE."""
    peak = _status("VmHWM")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, _hangs)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + ROOM, limits[1]))
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)
    grown = (_status("VmHWM") - peak) >> 20
    assert grown < GROWTH, f"grew by {grown} MiB"


def read(reader: Callable[[], T], name: Path | str) -> T | None:
    """What the reader makes of a file, or None if it refuses it in one line that names it."""
    with bounded():
        try:
            return reader()
        except InputError as error:
            message = str(error)
    assert str(name) in message
    rest = message.replace(str(name), "")
    assert rest.isprintable(), rest
    assert len(rest) < 1000, rest
    return None


def refusal(reader: Callable[[], Any], name: Path | str) -> str:
    """The line with which the reader refuses."""
    forget_peak()
    with bounded():
        try:
            found = reader()
        except InputError as error:
            message = str(error)
        else:
            raise AssertionError(f"{name} was read: {str(found)[:200]}")
    assert str(name) in message
    rest = message.replace(str(name), "")
    assert rest.isprintable(), rest
    assert len(rest) < 1000, rest
    return message


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    """An .npy with any header."""
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


def mat_element(kind: int, data: bytes) -> bytes:
    """An element of a MATLAB 5 file."""
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def mat_matrix(kind: int, shape: tuple[int, ...], name: bytes, rest: bytes) -> bytes:
    """A matrix of a MATLAB 5 file, of any class and shape."""
    dims = struct.pack(f"<{len(shape)}i", *shape)
    head = mat_element(6, struct.pack("<II", kind, 0)) + mat_element(5, dims)
    return mat_element(14, head + mat_element(1, name) + rest)


MAT_HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def tar_header(name: str, size: int, kind: bytes = b"0") -> bytes:
    """A tar header that claims any size, a negative one too."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (size % (1 << 88)).to_bytes(12, "big")
    block[124] = 0xFF if size < 0 else 0x80
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
