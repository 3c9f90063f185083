"""How much a file may ask for: its size, and what it unpacks to.

A file comes from anywhere, so no figure in it is believed before memory is taken for it.
"""

from pathlib import Path

from jaxdl.errors import InputError

FREE = 1 << 28  # bytes that any packed file may become
TIMES = 100  # a larger one may grow so many times: text 3 to 20, deflate's highest is 1,032


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
