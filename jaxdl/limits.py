"""How much a file may ask for: its size, what it unpacks to, and its part in a message.

A file comes from anywhere, so no figure in it is believed before memory is taken for it.
"""

from pathlib import Path

from jaxdl.errors import InputError

FREE = 1 << 28  # bytes that any packed file may become
TIMES = 100  # a larger one may grow so many times: text 3 to 20, deflate's highest is 1,032
_SHOWN = 40  # characters of a word in a message
_SHAPELESS = "\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # joiners are part of some words


def check_unpacked(path: Path, packed: int, unpacked: int) -> None:
    """InputError if a file of `packed` bytes has become too many: a decompression bomb."""
    most = max(FREE, TIMES * packed)
    if unpacked > most:
        raise InputError(
            f"{path}: its {packed} bytes unpack to more than {most >> 20} MiB, as only a "
            "decompression bomb does; unpack it first if you trust it"
        )


def check_claimed(path: Path, packed: int, claimed: int) -> None:
    """InputError if `packed` bytes say that they hold arrays of far more: zeros, or nothing."""
    if claimed > max(FREE, TIMES * packed):
        raise InputError(
            f"{path}: {packed} bytes that claim to be arrays of {claimed >> 20} MiB, as no trained "
            "network's are; take another file"
        )


def read_bytes(path: Path, most: int) -> bytes:
    """A whole file. InputError if it is longer than `most` bytes; OSError as `open`."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path}: more than {most >> 20} MiB; is this the right file?")
    return content


def show(word: str | bytes) -> str:
    """A word for a message: quoted, without odd characters, cut at 40."""
    return repr(word) if len(word) <= _SHOWN else f"{word[:_SHOWN]!r}..."


def visible(text: str) -> str:
    """Text with what has no shape, turns the text around or moves a terminal made visible."""
    return "".join(c if c.isprintable() or c in _SHAPELESS else "\ufffd" for c in text)


def reason(error: BaseException) -> str:
    """What a library says of a file, for a message: one line, without odd characters, not long."""
    text = " ".join(f"{getattr(error, 'strerror', None) or error}".split())
    text = text if len(text) <= 200 else f"{text[:199]}\N{HORIZONTAL ELLIPSIS}"
    return visible(text) or type(error).__name__
