"""What SIGTERM, SIGHUP and Ctrl-C do to a command: training saves first, all else ends at once.

Only commands call `commanded`, first of all; a program that uses jaxdl as a library keeps its own
handlers. A signal raises `Signalled` in the main thread, so that locks, temporary files and a
second process are cleaned up on the way out, and the command ends in one line. Where something
catches the exception, or a long call into C++ does not see it, a thread ends the process after
`GRACE` seconds: everything that is written survives that, as it survives a kill. In training a
signal is only noted (`Deferral`); the loop asks after each step, saves, and stops.
"""

import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

GRACE = 5.0  # seconds to clean up
STUCK = 30.0  # seconds after which a thread that has not started never will
HANDLED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


_NO_THREAD = (
    b"error: the memory is full (a new thread never began); free some, or raise its limit, and run "
    b"the same command to resume\n"
)


class Signalled(KeyboardInterrupt):
    """A signal came; libraries treat it as they treat Ctrl-C.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class _State:
    """Of this process: signals come to all of it."""

    number: int | None = None  # of the first signal
    over = False  # the command has ended, and Python cleans up
    deferred = False  # it is only noted
    waiting = False  # but not while something is waited for that may never come


_state = _State()


def _handle(number: int, frame: FrameType | None) -> None:
    first = _state.number is None
    _state.number = _state.number or number
    if _state.over:
        return
    if _state.deferred:
        if not _state.waiting and (first or number != signal.SIGINT):
            return  # noted; a second Ctrl-C does not wait
    elif not first:
        return  # it is on its way out
    if _in_import(frame):  # which may swallow it, or leave half a module; nothing is open yet
        _end(_state.number)
    raise Signalled(_state.number)


def _in_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _again(unraisable: Any) -> None:
    """Where Python may not raise, as in a destructor, the signal comes again a little later."""
    if not isinstance(unraisable.exc_value, Signalled):
        sys.__unraisablehook__(unraisable)
        return
    number, _state.number = unraisable.exc_value.number, None
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


class Deferral:
    """From `begin` to the end of its ``with`` block, signals are only noted."""

    def begin(self) -> None:
        """From here on; `Signalled` if one came that something has caught."""
        if not _state.deferred:
            self.check()
            _state.deferred = True

    @property
    def number(self) -> int | None:
        """Of the signal that came, if there was one."""
        return _state.number

    def check(self) -> None:
        """Raise `Signalled` if a signal came."""
        if _state.number is not None:
            raise Signalled(_state.number)

    def __enter__(self) -> "Deferral":
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        begun, _state.deferred = _state.deferred, False
        if begun and kind is None:
            self.check()


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Here a signal, also one that is noted already, raises `Signalled` in training too."""
    _state.waiting = True
    try:
        if _state.deferred and _state.number is not None:
            raise Signalled(_state.number)
        yield
    finally:
        _state.waiting = False


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals wait; a process that is started here never gets one: its parent ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Signals do here what the module says; afterwards what they did before.

    A SIGHUP that is ignored, as under nohup, stays so.
    """
    before = _install()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.number = None


def _install() -> dict[int, Any]:
    """The handlers there were."""
    numbers = [n for n in HANDLED if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    return {number: signal.signal(number, _handle) for number in numbers}


@contextlib.contextmanager
def commanded() -> Iterator[None]:
    """Around all that a command does, before it imports anything that takes long.

    Its output may also lose its reader (``| head``): what is written afterwards is dropped.
    """
    _install()
    sys.unraisablehook = _again
    sys.stdout, sys.stderr = _heedless(sys.stdout), _heedless(sys.stderr)
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read,), daemon=True).start()
    threading.Thread(target=_watch_starts, daemon=True).start()
    try:
        yield
    except SystemExit as left:
        # All is saved and closed, and Python's own end would wait for others: after a signal, or
        # for Orbax's threads, ten minutes long, if the folder of a step could not be made.
        leave = _state.number or (left.code and _others())
        if isinstance(left.code, int) and leave and not _among_others():
            _leave(left.code)
        raise
    except BaseException:
        if _state.number is None:
            raise
        _end(_state.number)
    finally:
        _state.over = True


def _among_others() -> bool:
    """Whether this is one of several JAX processes: they leave together, or abort one another."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def _watch(read: int) -> None:
    """End the process if it has not ended itself some time after a signal, training aside."""
    while os.read(read, 1)[0] not in HANDLED:
        pass
    seconds = 0.0
    while seconds < GRACE:
        time.sleep(0.25)
        seconds = 0.0 if _state.deferred else seconds + 0.25
    _end(_state.number or signal.SIGTERM)


def _watch_starts() -> None:
    """End the process if one of its threads waits for a new one that never begins.

    Python waits for ever if the memory is too small for the new thread's first steps, as after
    ``prlimit --as`` in mid-run: Orbax's saves start threads. A thread has to be there already to
    notice it.
    """
    seen = dict[tuple[int, int], int]()  # thread and call -> how often in a row
    while max(seen.values(), default=0) < 3:
        time.sleep(STUCK / 3)
        seen = {call: seen.get(call, 0) + 1 for call in _starts()}
    with contextlib.suppress(OSError):
        os.write(2, _NO_THREAD)
    _leave(3)


def _starts() -> Iterator[tuple[int, int]]:
    """The calls of `Thread.start` that wait for their thread: two calls above the innermost."""
    for thread, frame in sys._current_frames().items():
        caller = frame.f_back and frame.f_back.f_back
        if caller and caller.f_code is threading.Thread.start.__code__:
            yield thread, id(caller)


def _end(number: int) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, f"{Signalled(number)}\n".encode())
    _leave(128 + number)


def _others() -> bool:
    """Whether there are threads that Python waits for at its end."""
    threads = threading.enumerate()
    return any(not thread.daemon for thread in threads if thread is not threading.main_thread())


def _leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


class _Heedless(io.FileIO):
    """A file that takes what it is given when nobody reads it any more."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)


def _heedless(stream: Any) -> Any:
    """Standard output or error as it is, but heedless of its reader."""
    try:
        number = stream.fileno()
        stream.flush()
    except (AttributeError, OSError, ValueError):  # closed, or no file
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Heedless(number, "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
