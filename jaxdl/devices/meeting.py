"""The processes of a run meet before JAX starts, and learn in one line what keeps them apart.

JAX's own start ends by SIGSEGV if the coordinator's port is in use, and by SIGABRT after minutes of
silence if a process is missing, or comes twice. So process 0 first listens at the coordinator's
port itself (`jaxdl.devices.gathering`), and every process, process 0 too, comes to it and tells who
it is and how it was started. When all have come, the port is free again and all go on at once; or
one fault is told to all of them, and none does.

Between process 0's closing of the port and JAX's opening of it, some milliseconds, another program
may take it: JAX then crashes as it does by itself.
"""

import contextlib
import errno
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping

from jaxdl.devices.gathering import (
    LONGEST,
    SILENCE,
    Answer,
    Guest,
    as_line,
    gather,
    late,
    read_answer,
)
from jaxdl.errors import TrainingError

SECONDS = 300.0  # for all processes to come
UNREACHABLE = 8.0  # seconds of no name or no route, after which there will be none
NOTICE = 10  # seconds after which a process says what it waits for
PAUSE = 0.2  # seconds between two attempts to reach process 0


class _StrangerError(Exception):
    """What answers is no process 0 of ours, or says nothing."""


def meet(
    address: str,
    number: int,
    count: int,
    facts: Mapping[str, str],
    *,
    bind: str | None = None,
    seconds: float = SECONDS,
    unreachable: float = UNREACHABLE,
) -> None:
    """Wait until all processes of the run have come to process 0; its port is then free for JAX.

    After `NOTICE` seconds a line on stderr says what is waited for.

    Args:
        address: host:port of process 0.
        number: of this process.
        count: of all processes.
        facts: versions and options that all processes must share.
        bind: host:port where process 0 listens; by default the port at all its addresses.
        seconds: for all to come.
        unreachable: seconds after which an unknown name, or a host that does not answer, is final.
            Where a host is there and nobody listens at the port, it is waited for.

    Raises:
        TrainingError: they do not come together; one line says why, in each process.
    """
    _, port = _split(address)
    me = Guest(number, count, socket.gethostname(), facts, secrets.token_hex(8))
    waits_for = [f"process 0 at {address}"]

    def say() -> None:
        text = f"process {number} of {count} waits for {waits_for[0]}, {seconds:.0f} s at most"
        print(f"{text}: start all of them, and look at the address", file=sys.stderr, flush=True)

    notice = threading.Timer(NOTICE, say)
    notice.daemon = True
    notice.start()
    try:
        if number:
            _join(address, me, waits_for, seconds, unreachable)
            return
        server = _listen(*_split(bind or f"[::]:{port}"))
        if server is None:
            _find_in_use(address, me)
            return
        listener = threading.Thread(target=gather, args=(server, me, address, seconds), daemon=True)
        listener.start()
        _join(address, me, waits_for, seconds + SILENCE, unreachable)
        listener.join()
    finally:
        notice.cancel()


def _split(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        TrainingError: there is no such port.
    """
    host, _, port = address.rpartition(":")
    if not 0 < int(port) < 1 << 16:
        raise TrainingError(f"--coordinator {address}: there is no port {port}; take 1024 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _listen(host: str, port: int) -> socket.socket | None:
    """Process 0's listening socket, at all addresses for "::"; None if the port is in use.

    Raises:
        TrainingError: the system does not give the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    if host == "::":
        host, family = "", socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024, dualstack_ipv6=both)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return None
        raise TrainingError(
            f"process 0 cannot listen at port {port} ({error.strerror}); give all processes "
            "another one in --coordinator, 1024 to 65535"
        ) from error


def _find_in_use(address: str, me: Guest) -> None:
    """Raise TrainingError: the port is in use; a process 0 of ours that holds it learns it too."""
    answer = None
    with contextlib.suppress(OSError, UnicodeError, _StrangerError):
        answer = _ask(address, me, time.monotonic() + SILENCE, lambda missing: None)
    raise TrainingError(
        (answer and answer.fault)
        or f"--coordinator {address}: the port is in use on this host, so process 0 cannot listen "
        "there; end what uses it, or give all processes another port"
    )


def _join(
    address: str, me: Guest, waits_for: list[str], seconds: float, unreachable: float
) -> None:
    """Come to process 0, and return when all have come; see `meet`."""
    begun = reached = time.monotonic()

    def note(missing: str) -> None:
        waits_for[0] = f"{missing} to come to {address}"

    while True:
        missing = "process 0"
        waits_for[0] = f"{missing} at {address}"
        try:
            answer = _ask(address, me, begun + seconds, note)
            reached = time.monotonic()
            if answer is not None and answer.fault:
                raise TrainingError(answer.fault)
            if answer is not None and not answer.missing:
                return
            missing = answer.missing if answer is not None else missing
        except _StrangerError as error:
            raise TrainingError(
                f"--coordinator {address}: another program answers there, perhaps a run that has "
                "begun; look at the address, or give all processes another port"
            ) from error
        except (OSError, UnicodeError) as error:  # the latter: a name that no host can have
            if me.number and isinstance(error, ConnectionError):  # its host is there
                reached = time.monotonic()
            elif time.monotonic() - reached >= unreachable:
                raise TrainingError(
                    f"--coordinator {address}: process {me.number} cannot reach it "
                    f"({getattr(error, 'strerror', None) or error}); give all processes the host "
                    "of process 0, by a name that they know, at a port that its firewall lets "
                    "through"
                ) from error
        if time.monotonic() - begun >= seconds:
            raise TrainingError(late(missing, address, seconds, me.count))
        time.sleep(PAUSE)


def _ask(address: str, me: Guest, end: float, note: Callable[[str], None]) -> Answer | None:
    """Tell process 0 who this is, and wait for its last word; None if it left without one.

    Args:
        address: of process 0.
        me: this process.
        end: when to go with its last answer, by `time.monotonic`.
        note: called with those who are missing.

    Raises:
        ConnectionError: nobody listens there.
        OSError: it cannot be reached.
        _StrangerError: what answers is no process 0 of ours, or nothing answers.
    """
    with socket.create_connection(_split(address), timeout=SILENCE) as connection:
        if connection.getsockname() == connection.getpeername():  # so TCP can, where nobody listens
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
        answer, received = None, b""
        try:
            connection.sendall(as_line(me))
            while got := connection.recv(LONGEST):
                *lines, received = (received + got).split(b"\n")
                for line in lines:
                    answer = read_answer(line)
                    if answer is None:
                        raise _StrangerError
                    if answer.fault or not answer.missing:
                        return answer
                    note(answer.missing)
                if answer is not None:
                    connection.settimeout(max(0.001, end - time.monotonic()))
                elif not b'["jaxdl", '.startswith(received[:10]):
                    raise _StrangerError
        except TimeoutError:
            if answer is None:
                raise _StrangerError from None
            return answer
        except ConnectionError:  # it has left
            pass
    return None
