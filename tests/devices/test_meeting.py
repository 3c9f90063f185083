"""Processes meet at process 0's port, or all learn why they do not; real sockets on loopback."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from jaxdl.devices import meeting
from jaxdl.devices.gathering import Guest, as_line, read_answer
from jaxdl.errors import TrainingError
from tests.devices.test_mesh import free_port

FACTS = {"jax": "1.0", "--batch-size": "8"}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Each thread is as good as a process: they share sockets only."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


def told(*futures: Future[None]) -> list[str]:
    """What the processes were told; empty for those that went on."""
    return [str(future.exception(timeout=30) or "") for future in futures]


def address() -> str:
    return f"127.0.0.1:{free_port()}"


def come(pool: ThreadPoolExecutor, where: str, number: int, count: int, **rest: Any) -> Future:
    facts = rest.pop("facts", FACTS)
    options: dict[str, Any] = {"seconds": 20.0} | rest
    return pool.submit(meeting.meet, where, number, count, facts, **options)


def visit(where: str, content: bytes) -> socket.socket:
    """A guest by hand, when process 0 listens."""
    (host, port), begun = where.split(":"), time.monotonic()
    while time.monotonic() < begun + 20:
        with contextlib.suppress(ConnectionRefusedError):
            guest = socket.create_connection((host, int(port)), timeout=20)
            guest.sendall(content)
            return guest
    raise AssertionError("process 0 does not listen")


def test_all_come_in_any_order_and_the_port_is_free(pool: ThreadPoolExecutor):
    where = address()
    assert told(*(come(pool, where, number, 4) for number in (2, 1, 3, 0))) == [""] * 4
    with socket.create_server(("", int(where.split(":")[1]))):
        pass
    assert told(come(pool, "127.0.0.1:1", 1, 2, seconds=0.0))[0].startswith(
        "process 0 of 2 did not"
    )


def test_one_that_leaves_may_come_again_and_strangers_do_no_harm(pool: ThreadPoolExecutor):
    where = address()
    main = come(pool, where, 0, 3)
    for content in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"[" * 60_000 + b"\n",
        b"x" * 70_000,
        b'["jaxdl"]\n',
    ):
        with visit(where, content) as stranger, contextlib.suppress(ConnectionError):
            assert stranger.recv(99) == b""
    silent = visit(where, b"")
    with visit(where, as_line(Guest(1, 3, "a", FACTS))) as first:
        answers = first.recv(999).splitlines()
        assert all(read_answer(line) for line in answers)
        # Who is missing: "process 2", or "process 0, 2" before the first has counted itself.
        assert answers[-1].split(b'"')[3].endswith(b" 2")
    assert told(*(come(pool, where, number, 3) for number in (1, 2)), main) == [""] * 3
    silent.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([(0, 3), (1, 3), (1, 3)], "two processes have the number 1, on .*: give each its own"),
        ([(0, 2), (1, 3)], "process 1 .* as one of 3, process 0 .* as one of 2: give all"),
        ([(0, 3), (0, 3)], "two processes have the number 0"),
        ([(0, 2), (1, 2, {"jax": "2.0"})], "process 1 on .* has jax 2.0, process 0 .* has 1.0"),
        ([(0, 2), (1, 2, {"--batch-size": "\33[2J9"})], r"--batch-size \?\[2J9, .* has 8: start"),
    ],
)
def test_what_does_not_fit_is_told_to_all(pool: ThreadPoolExecutor, given: Any, message: str):
    where, each = address(), []
    for number, count, *facts in given:
        each.append(come(pool, where, number, count, facts=FACTS | (facts[0] if facts else {})))
    found = told(*each)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found[0])
    assert found == [found[0]] * len(given)
    assert found[0].isprintable()


def test_missing_ones_are_named(pool: ThreadPoolExecutor):
    where = address()
    found = told(*(come(pool, where, number, 12, seconds=0.5) for number in (0, 2)))
    # On a busy machine the second one is late, too.
    missing = r"process 1, (2, )?3, 4, 5, 6, 7, 8, (9, )?\.\.\. of 12 did not come to 127\.0\.0\.1"
    assert re.match(missing, found[0])
    assert "--processes" in found[0]
    assert "did not come" in found[1]


@pytest.mark.slow
def test_what_is_waited_for_is_said(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(meeting, "NOTICE", 0.3)
    where = address()
    told(come(pool, where, 1, 2, seconds=0.6))
    waiting = f"process 1 of 2 waits for process 0 at {where}, 1 s at most"
    assert capfd.readouterr().err.startswith(waiting)
    told(come(pool, where, 0, 2, seconds=0.6))
    assert f"process 0 of 2 waits for process 1 to come to {where}" in capfd.readouterr().err


@pytest.mark.parametrize("says", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\x18\4", b""])
def test_another_program_at_the_port(
    pool: ThreadPoolExecutor, says: bytes, monkeypatch: pytest.MonkeyPatch
):
    """Whether it speaks or not. Process 0 learns that its port is in use."""
    monkeypatch.setattr(meeting, "SILENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        both = [come(pool, where, number, 2) for number in (0, 1)]
        guests = [server.accept()[0] for _ in both]
        for guest in guests:
            guest.sendall(says)
        first, second = told(*both)
        for guest in guests:
            guest.close()
    assert first.startswith(f"--coordinator {where}: the port is in use on this host")
    assert second.startswith(f"--coordinator {where}: another program answers there")


@pytest.mark.parametrize(
    ("where", "number", "message"),
    [
        ("node1:0", 1, "--coordinator node1:0: there is no port 0"),
        ("node1:65536", 0, "--coordinator node1:65536: there is no port 65536; take 1024 to"),
        ("no..name:5000", 1, "process 1 cannot reach it .*; give all processes the host of"),
        ("256.0.0.1:5000", 1, "process 1 cannot reach it .*; give all processes the host of"),
    ],
)
def test_addresses_that_lead_nowhere(where: str, number: int, message: str):
    with pytest.raises(TrainingError, match=message):
        meeting.meet(where, number, 2, FACTS, unreachable=0.0)


def test_an_address_that_leads_to_another_host():
    """Process 0 listens, and does not reach itself."""
    port = free_port()
    with pytest.raises(TrainingError, match="process 0 cannot reach it"):
        meeting.meet(*(f"127.0.0.1:{port}", 0, 2, FACTS), bind=f"127.0.0.2:{port}", unreachable=0.0)


def test_a_connection_to_oneself_is_nobody():
    """TCP may connect a port to itself, where nobody listens: it is waited on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            meeting._ask(f"127.0.0.1:{port}", Guest(1, 2, "a", {}), 0.0, lambda missing: None)
