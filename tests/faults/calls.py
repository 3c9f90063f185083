"""The calls in strace's logs: which of them write files, of which kind, and how to meet one."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Of a file that is open; the rest name files.
_OPEN = ("write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "close")
CALLS = (
    *_OPEN,
    *("openat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"),
    *("mkdir", "mkdirat", "link", "linkat"),
)
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_REST = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_FOLDER = re.compile(r"(?:AT_FDCWD|\d+)<([^>]*)>")  # of the call, or the open file
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
# Parts of a name -> kind of file, the first that fits.
_KINDS = (
    ("/data/", "prepared data"),
    ("/SHA256SUMS", "SHA256SUMS"),
    ("/checkpoints/.*/d/[0-9a-f]{32}", "checkpoint data"),
    ("/checkpoints/.*/manifest", "checkpoint data's list"),
    ("/checkpoints/.*/meta[^/]*/", "checkpoint meta"),
    ("/checkpoints/.*/metrics[^/]*/", "checkpoint metrics"),
    ("/checkpoints/.*/(_|array_metadatas/)", "checkpoint layout"),
    ("/checkpoints", "checkpoint folder"),
    ("/tensorboard", "TensorBoard"),
    ("/splits", "splits"),
    (r"\.(png|jpg)(\.PID\.tmp)?$", "pictures"),
)


class Call(NamedTuple):
    """A call that writes."""

    name: str
    kind: str
    path: str | None  # what strace knows it by: a path, the process's number in it as PID; or none
    number: int  # among its thread's calls of this name, and of this path
    thread: int = 0
    all_number: int = 0  # among its thread's calls of this name


class _Line(NamedTuple):
    thread: int
    name: str
    names: list[str]  # by which strace knows it
    written: str | None  # the file it writes, under the home
    text: str


def kind_of(path: str) -> str:
    """The kind of file that a path below a subject's folder is."""
    for pattern, kind in _KINDS:
        if re.search(pattern, path):
            return kind
    name = path.rpartition("/")[2]
    hidden = re.fullmatch(r"\.(.*)\.PID\.tmp", name)
    return hidden[1] if hidden else name if "." in name else "folder"


def _lines(log: str, home: Path, pid: int) -> Iterator[_Line]:
    """Each call of the log, in the order of their beginnings."""
    lines, begun = log.replace(f".{pid}.tmp", ".PID.tmp").splitlines(), dict[str, int]()
    for number, text in enumerate(lines):
        if (rest := _REST.match(text)) and rest[1] in begun:
            lines[begun[rest[1]]] += rest[2]
        else:
            begun[text.partition(" ")[0]] = number
    for text in lines:
        found = _LINE.match(text)
        if found is None:  # a signal, or what was joined
            continue
        thread, name, rest = int(found[1]), found[2], found[3]
        folder = _FOLDER.match(rest)
        if name in _OPEN:
            names, path = [folder[1]] if folder else [], folder[1] if folder else ""
        else:
            texts = _TEXT.findall(rest)
            own = [] if folder is None or rest.startswith("AT_FDCWD") else [folder[1]]
            path = texts[-1] if texts else ""
            names = [*texts[:1], *own]  # of two names strace knows the first
            if own and not path.startswith("/"):
                path, names = f"{own[0]}/{path}", own
        written = path if f"{path}/".startswith(f"{home}/") else None
        if name == "openat" and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", rest):
            written = None
        yield _Line(thread, name, names, written, text)


def listed(log: str, home: Path, pid: int) -> list[Call]:
    """The calls of a log that wrote below the subject's folder `home`, with success."""
    counts, every, calls, opened = Counter[tuple](), Counter[tuple](), [], set[str]()
    for line in _lines(log, home, pid):
        every[line.thread, line.name] += 1
        counts.update((line.thread, line.name, name) for name in set(line.names))
        if line.written is not None and line.name == "openat":
            opened.add(line.written)
        read = line.name == "close" and line.written not in opened
        if line.written is not None and not read and " = -1 " not in line.text:
            name = line.names[0]
            number = counts[line.thread, line.name, name]
            kind = kind_of(line.written)
            count = every[line.thread, line.name]
            calls.append(Call(line.name, kind, name, number, line.thread, count))
    return calls


def aims(first: list[Call], second: list[Call], draw: random.Random) -> list[Call]:
    """A call of each pair of (call, kind), to be met by its path if both listings have it."""
    pairs, known = defaultdict[tuple, list[Call]](list), {call.path for call in first}
    for call in second:
        pairs[call.name, call.kind].append(call)
    found = []
    for (name, kind), calls in pairs.items():
        named = [call for call in calls if call.path in known]
        found.append(draw.choice(named) if named else _by_number(name, kind, [first, second]))
    return found


def _by_number(name: str, kind: str, listings: list[list[Call]]) -> Call:
    """The number that is this kind's in most of the threads that count so far."""
    kinds = defaultdict[int, list[str]](list)
    for call in (call for calls in listings for call in calls if call.name == name):
        kinds[call.all_number].append(call.kind)
    best = max(kinds, key=lambda n: (kinds[n].count(kind) / len(kinds[n]), kinds[n].count(kind)))
    return Call(name, kind, None, best)


def met(log: str, home: Path, pid: int) -> Iterator[str]:
    """The kinds of the calls that failed by injection, or that a kill left without result."""
    for line in _lines(log, home, pid):
        if "(INJECTED)" in line.text or line.text.rstrip().endswith("= ?"):
            yield kind_of(line.written) if line.written else "another place"
