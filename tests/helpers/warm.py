"""Processes that need not import what is slow to import: a server has, and forks them.

``python -m tests.helpers.warm FD`` imports the commands' modules (4 s), and starts no device.
Each request on the socket FD becomes a process that runs a module as ``python -m`` does, from its
first line to Python's last: signals, threads, exit functions and status are a process' own. What
such processes share, and fresh ones do not: the seed of Python's hashes, and the order of imports.
"""

import json
import os
import runpy
import signal
import socket
import sys
import time
import warnings
from typing import NoReturn

from jaxdl.cli.progress import Bar
from tests.helpers import compiled

IMPORTED = (
    *("jaxdl.digits.report", "jaxdl.digits.train", "jaxdl.lstm.train", "jaxdl.lstm.report"),
    *("jaxdl.word2vec.train", "jaxdl.word2vec.report", "jaxdl.fcn.train", "jaxdl.fcn.report"),
    # Those that these import late.
    *("jaxdl.fcn.data.tfds_builder", "grain", "tensorboardX", "sklearn.manifold"),
)


def serve(requests: socket.socket) -> dict:
    """Fork for each request, to the end of the requests; a child returns with its own."""
    used = 0.0
    while True:
        content, given, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not content:
            sys.exit()
        now = time.process_time()
        if not fork():
            out, err, told = given
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if not (pid := fork()):
                os.close(told)
                return json.loads(content)
            watch(pid, told, now - used)
        used = now
        for number in given:
            os.close(number)


def fork() -> int:
    with warnings.catch_warnings(action="ignore"):  # nothing of JAX' runs yet
        return os.fork()


def watch(pid: int, told: int, used: float) -> NoReturn:
    """Tell a process' number; when it has ended its status, and the seconds of a core."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.write(told, f"{pid}\n".encode())
    _, status, usage = os.wait4(pid, 0)
    seconds = used + usage.ru_utime + usage.ru_stime
    os.write(told, f"{os.waitstatus_to_exitcode(status)} {seconds}\n".encode())
    os._exit(0)


def become(request: dict) -> str:
    """This process becomes what was asked for; the module to run."""
    import jax

    gone = os.environ.keys() - request["environment"].keys()
    assert not any(name.startswith("JAX_") for name in gone), gone  # jax has read them
    for name, value in request["environment"].items():
        if name.startswith("JAX_") and os.environ.get(name) != value:  # read when jax was imported
            jax.config.update(name.lower(), type(getattr(jax.config, name.lower()))(value))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["at"]:
        signal_at(*request["at"])
    sys.argv[1:] = request["arguments"]
    return request["module"]


def signal_at(wanted: str, number: int) -> None:
    """The signal comes when a line with the text is printed: no run ends before it is sent."""
    line = Bar.line

    def told(self: Bar, text: str) -> None:
        line(self, text)
        if wanted in text:
            Bar.line = line
            signal.raise_signal(number)

    Bar.line = told


def main() -> str:
    for module in IMPORTED:
        __import__(module)
    compiled.trace_cheaply()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        return become(serve(requests))


if __name__ == "__main__":
    runpy.run_module(main(), run_name="__main__", alter_sys=True)
