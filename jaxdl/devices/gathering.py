"""Process 0 gathers the processes of a run: who has come, who is missing, who does not fit.

The other side is `jaxdl.devices.meeting`. Both tell each other lines of JSON: a process says once
who it is (`Guest`), process 0 says who is missing (`Answer`) whenever that changes.
"""

import contextlib
import json
import selectors
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

SILENCE = 4  # seconds in which process 0 answers, if it is ours
LONGEST = 1 << 16  # bytes of what a process tells
NAMED = 8  # processes that a message names


class Guest(NamedTuple):
    """A process, as it tells process 0."""

    number: int
    count: int
    host: str
    facts: Mapping[str, str]  # versions and options, which must be the same in all
    key: str = ""  # of this process alone


class Answer(NamedTuple):
    """What process 0 tells; neither missing ones nor a fault: JAX may start."""

    missing: str  # such as "process 1, 3"
    fault: str


def as_line(message: Guest | Answer) -> bytes:
    """A message as it is sent."""
    return json.dumps(["jaxdl", *message]).encode() + b"\n"


def _read(line: bytes, *kinds: type) -> list[Any] | None:
    try:
        name, *values = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    fits = name == "jaxdl" and tuple(map(type, values)) == kinds
    return [_plain(v) if isinstance(v, str) else v for v in values] if fits else None


def _plain(text: str) -> str:
    """Without what a neighbour on the network could do to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:500])


def read_answer(line: bytes) -> Answer | None:
    """None if it is none."""
    values = _read(line, str, str)
    return None if values is None else Answer(*values)


def read_guest(line: bytes) -> Guest | None:
    """None if it is none."""
    values = _read(line, int, int, str, dict, str)
    guest = None if values is None else Guest(*values)
    return guest if guest is not None and 0 <= guest.number < guest.count else None


class _Gathering:
    """Those who have come to process 0 (`me`), by connection."""

    def __init__(self, me: Guest) -> None:
        self.me, self.fault = me, ""
        self.came: dict[socket.socket, Guest] = {}

    def missing(self) -> str:
        """Such as "process 1, 3"; empty for none."""
        numbers = set(range(self.me.count)) - {guest.number for guest in self.came.values()}
        first = ", ".join(map(str, sorted(numbers)[:NAMED]))
        return f"process {first}{', ...' if len(numbers) > NAMED else ''}" if numbers else ""

    def over(self) -> bool:
        """Whether all are there, or there is a fault: once process 0 itself is there to be told."""
        here = any(guest.key == self.me.key for guest in self.came.values())
        return here and (bool(self.fault) or not self.missing())

    def add(self, connection: socket.socket, guest: Guest) -> None:
        self.fault = self.fault or _misfit(guest, self.me, self.came.values())
        self.came[connection] = guest

    def tell(self, missing: str) -> None:
        line = as_line(Answer(missing, self.fault))
        for connection in self.came:
            with contextlib.suppress(OSError):  # it has left, which is noticed when it is read
                connection.sendall(line)


def gather(server: socket.socket, me: Guest, address: str, seconds: float) -> None:
    """Answer all processes until they have come; then close the port, and tell all to go.

    A fault of one, or one that has not come in `seconds`, is told to all, and none goes. Strangers
    are not answered. A process that leaves may come again.

    Args:
        server: a listening socket; closed in the end.
        me: process 0; it comes like the others.
        address: that all reach it by, for messages.
        seconds: for all to come.
    """
    gathering, end = _Gathering(me), time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        with server, selectors.DefaultSelector() as waiting:
            waiting.register(server, selectors.EVENT_READ)
            while not gathering.over():
                missing = gathering.missing()
                if time.monotonic() >= end:
                    who = missing or "process 0"
                    gathering.fault = gathering.fault or late(who, address, seconds, me.count)
                    break
                for key, _ in waiting.select(max(0, end - time.monotonic())):
                    if key.fileobj is server:
                        connection = stack.enter_context(server.accept()[0])
                        connection.settimeout(SILENCE)
                        waiting.register(connection, selectors.EVENT_READ, b"")
                    else:
                        _hear(gathering, waiting, key)
                if (now := gathering.missing()) not in ("", missing) and not gathering.fault:
                    gathering.tell(now)
        gathering.tell("")  # the port is free


def _hear(
    gathering: _Gathering, waiting: selectors.BaseSelector, key: selectors.SelectorKey
) -> None:
    """Read what has come by one connection."""
    connection: Any = key.fileobj
    try:
        got = connection.recv(LONGEST)
    except OSError:
        got = b""
    line = key.data + got
    guest = read_guest(line) if b"\n" in line and connection not in gathering.came else None
    if guest is not None:
        gathering.add(connection, guest)
    elif got and b"\n" not in line and len(line) < LONGEST:
        waiting.modify(connection, selectors.EVENT_READ, line)
    else:  # it has left, or is a stranger
        waiting.unregister(connection)
        connection.close()
        gathering.came.pop(connection, None)


def _misfit(guest: Guest, me: Guest, came: Iterable[Guest]) -> str:
    """What keeps a process out of the run of process 0; empty for nothing."""
    who = f"process {guest.number} on {guest.host}"
    if guest.count != me.count:
        return (
            f"{who} was started as one of {guest.count}, process 0 on {me.host} as one of "
            f"{me.count}: give all processes the same --processes"
        )
    for other in came:
        if guest.number == other.number:
            return (
                f"two processes have the number {guest.number}, on {other.host} and on "
                f"{guest.host}: give each its own --process-id, 0 to {me.count - 1}"
            )
    for name in sorted({*guest.facts, *me.facts}):
        its, ours = (_plain(str(facts.get(name, "none")))[:60] for facts in (guest.facts, me.facts))
        if its != ours:
            return (
                f"{who} has {_plain(name)} {its}, process 0 on {me.host} has {ours}: start all "
                "with the same command and the same packages"
            )
    return ""


def late(missing: str, address: str, seconds: float, count: int) -> str:
    """What is said of processes that have not come."""
    return (
        f"{missing} of {count} did not come to {address} in {seconds:.0f} s: start all {count}, "
        "look at the address, or give all the --processes that there are"
    )
