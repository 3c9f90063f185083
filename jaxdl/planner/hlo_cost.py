"""What a program does, from its jaxpr (flops) and from its compiled text (bytes, launches).

XLA's own cost analysis counts the body of a loop once, however often it runs, and has nothing for
programs compiled without the device; so both are counted here, with the loops' lengths.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

_BYTES = {"pred": 1, "bf16": 2, "f8e4m3fn": 1, "f8e5m2": 1, "token": 0, "opaque": 0}
# Names for what is there already: they move nothing.
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"),
    *("optimization-barrier", "partition-id", "replica-id", "add-dependency"),
}
_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_SLICES = {"dynamic-slice", "gather", "slice"}
_WRITES = {"dynamic-update-slice": 1, "scatter": 2}  # where the new values are
_ARRAY = re.compile(r"\b(pred|token|opaque|[a-z]+\d+[a-z0-9]*)\[([\d,]*)\]")
_LINE = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*)$")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")


class Instruction(NamedTuple):
    """One line of a computation in a compiled program's text."""

    name: str
    opcode: str
    size: int  # bytes of the result
    operands: tuple[str, ...]
    attributes: str
    root: bool


class Program(NamedTuple):
    """One run of a compiled program.

    Attributes:
        bytes: read and written by all kernels; rows gathered and scattered count, not their tables.
        launches: kernels, library calls and copies.
        convolutions: library calls for convolutions.
        collectives: bytes that each kind of collective returns on a device.
    """

    bytes: int
    launches: int
    convolutions: int
    collectives: dict[str, int]


def read_program(text: str) -> Program:
    """Count what a compiled program (``.compile().as_text()``) does in one run.

    A loop runs as often as its ``known_trip_count`` says, or once if it has none.
    """
    computations, entry = _parse(text)
    found = Program(0, 0, 0, {})
    for instruction, home, times in _executed(computations, entry, 1):
        opcode = instruction.opcode.removesuffix("-start")
        if opcode in _FREE or opcode.endswith(("-done", "-update")):
            continue
        collectives = found.collectives
        if opcode in _COLLECTIVES:
            moved = Counter(collectives)
            moved[opcode] += times * instruction.size
            collectives = dict(moved)
        found = Program(
            found.bytes + times * _moved(instruction, home, computations),
            found.launches + times,
            found.convolutions + times * ("$conv" in instruction.attributes),
            collectives,
        )
    return found


def _parse(text: str) -> tuple[dict[str, dict[str, Instruction]], str]:
    """The computations by name, each its instructions by name, and the name of the first to run."""
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (found := _LINE.match(line)):
            name, shape, opcode, rest = found.groups()
            inside, after = _split(rest)
            operands = tuple(re.findall(r"%([\w.\-]+)", inside))
            if opcode == "parameter":
                operands = (inside,)  # its number
            current[name] = Instruction(
                name, opcode, _size(shape), operands, after, line.lstrip().startswith("ROOT")
            )
    return computations, entry


def _split(rest: str) -> tuple[str, str]:
    """What stands in an opcode's brackets, and what follows them."""
    depth = 1
    for at, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return rest[:at], rest[at + 1 :]
    return rest, ""


def _size(shape: str) -> int:
    total = 0
    for kind, sides in _ARRAY.findall(shape):
        bits = re.search(r"\d+", kind)
        each = _BYTES[kind] if kind in _BYTES else int(bits[0]) / 8 if bits else 0
        total += math.ceil(each * math.prod(int(side) for side in sides.split(",") if side))
    return total


def _executed(
    computations: dict[str, dict[str, Instruction]], name: str, times: int
) -> Iterator[tuple[Instruction, dict[str, Instruction], int]]:
    """The instructions that run as kernels, their computation, and how often they run.

    Loops, calls and branches are entered, and all branches of a conditional count.
    """
    for instruction in computations[name].values():
        if instruction.opcode == "while":
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', instruction.attributes)
            body = re.search(r"body=%?([\w.\-]+)", instruction.attributes)
            assert body is not None
            yield from _executed(computations, body[1], times * (int(trips[1]) if trips else 1))
        elif instruction.opcode in ("call", "conditional", "async-start"):
            for inside in _called(instruction, computations):
                yield from _executed(computations, inside, times)
        else:
            yield instruction, computations[name], times


def _called(instruction: Instruction, computations: Any) -> list[str]:
    names = re.findall(r"%?([\w.\-]+)", instruction.attributes.split("metadata=")[0])
    return [name for name in names if name in computations]


def _moved(
    instruction: Instruction,
    home: dict[str, Instruction],
    computations: dict[str, dict[str, Instruction]],
) -> int:
    """Bytes that an instruction of the computation `home` reads and writes."""
    sizes = [home[name].size if name in home else 0 for name in instruction.operands]
    inner: dict[str, Instruction] = {}
    if instruction.opcode == "fusion":
        inner = computations[_called(instruction, computations)[0]]
    if not inner:
        if instruction.opcode in _SLICES:
            return 2 * instruction.size
        if instruction.opcode in _WRITES:
            return 2 * sizes[_WRITES[instruction.opcode]]
        return instruction.size + sum(sizes)
    total, written = 0, instruction.size
    for number, size in enumerate(sizes):
        parameter = next(
            i.name
            for i in inner.values()
            if i.opcode == "parameter" and i.operands == (str(number),)
        )
        users = [i for i in inner.values() if parameter in i.operands]
        if users and all(i.opcode in _SLICES and i.operands[0] == parameter for i in users):
            size = min(size, sum(i.size for i in users))
        elif users and all(
            i.opcode in _WRITES and i.operands[0] == parameter for i in users
        ):  # changed in place: only the new values move, twice
            fresh = sum(inner[i.operands[_WRITES[i.opcode]]].size for i in users)
            written -= sum(i.size for i in users) - fresh
            size = fresh
        total += size
    return total + max(written, 0)
