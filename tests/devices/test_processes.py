"""Processes that find each other, work as one, stop together, and notice a loss."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from jaxdl.devices.launchers import Processes, find_processes
from jaxdl.devices.processes import abort_on_error, broadcast_from_main, stop_vote
from jaxdl.errors import InputError
from jaxdl.training.run_folder import read_rows
from tests.devices.test_mesh import free_port
from tests.helpers.processes import QUICK, Warm

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-4]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_NODES": "4",
}
URI = "OMPI_MCA_orte_hnp_uri"
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
    URI: "12288.0;tcp://10.0.0.1,10.1.0.1:34911",
}
JOBSET = {
    "JOB_COMPLETION_INDEX": "3",
    "JOBSET_NAME": "fcn",
    "REPLICATED_JOB_NAME": "hosts",
    "JAX_NUM_PROCESSES": "4",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
}


@pytest.mark.parametrize(
    ("environ", "flags", "want"),
    [
        ({}, (), None),
        ({}, ("node1:5000", 2, 1), Processes("node1:5000", 2, 1)),
        ({}, ("node1:5000", 1, 0), None),
        (SLURM, (), Processes("node1:61447", 4, 2)),
        (SLURM | {"SLURM_STEP_NUM_NODES": "2"}, (), Processes("node1:61447", 4, 2, False)),
        (SLURM | {"SLURM_JOB_ID": "4097"}, (), Processes("node1:61441", 4, 2)),
        (SLURM | {"JAX_COORDINATOR_PORT": "900"}, (), Processes("node1:900", 4, 2)),
        *(
            (SLURM | {"SLURM_STEP_NODELIST": hosts}, (), Processes(f"{first}:61447", 4, 2))
            for hosts, first in (
                ("gpu-7", "gpu-7"),
                ("gpu-7,gpu-9", "gpu-7"),
                ("gpu[007-010,12],a", "gpu007"),
                ("r[1,3]n[04-07].lan,a[1-2]", "r1n04.lan"),
            )
        ),
        (SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, (), None),
        (SLURM, ("node9:5000", None, None), Processes("node9:5000", 4, 2)),
        (OPEN_MPI, (), Processes("10.0.0.1:61443", 2, 1)),
        (
            OPEN_MPI | {URI: "4096.0;tcp6://[fe80::1,fe80::2]:80"},
            (),
            Processes("[fe80::1]:61441", 2, 1),
        ),
        (JOBSET, (), Processes("fcn-hosts-0-0.fcn:55527", 4, 3)),
        (JOBSET, (None, 8, None), Processes("fcn-hosts-0-0.fcn:55527", 8, 3)),
        (JOBSET | {"JAX_COORDINATOR_ADDRESS": "lead:1"}, (), Processes("lead:1", 4, 3)),
    ],
)
def test_processes_are_found(environ: dict[str, str], flags: tuple[Any, ...], want: Any):
    assert find_processes(environ, *flags) == want


@pytest.mark.parametrize(
    ("environ", "flags", "message"),
    [
        ({}, ("node1:5000", None, 0), "--processes is missing"),
        ({}, ("node1:5000", 2, None), "--process-id is missing"),
        ({}, (None, 2, 0), "--coordinator is missing"),
        ({}, ("node1", 2, 0), "--coordinator node1: must be HOST:PORT"),
        ({}, ("node1:5000", 2, 2), "--process-id 2: of 2 processes"),
        ({}, ("node1:5000", 0, 0), "--processes 0"),
        (SLURM | {"SLURM_NTASKS": "many"}, (), "SLURM_NTASKS=many: is not a number"),
        ({k: v for k, v in OPEN_MPI.items() if "uri" not in k}, (), "--coordinator is missing"),
        ({k: v for k, v in JOBSET.items() if "NUM" not in k}, (), "--processes is missing"),
    ],
)
def test_what_is_missing_is_said(environ: dict[str, str], flags: tuple[Any, ...], message: str):
    with pytest.raises(InputError, match=message):
        find_processes(environ, *flags)


def test_one_process_needs_nobody():
    assert broadcast_from_main(lambda: {"a": 1}) == {"a": 1}
    assert [stop_vote(None)(asked) for asked in (False, True)] == [False, True]
    with pytest.raises(KeyError), abort_on_error():
        raise KeyError("unwinds as ever")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("--processes 3 --process-id 0", "--processes 3 --process-id 0", "the number 0"),
        ("--processes 2 --process-id 0", "--processes 3 --process-id 1", "the same --processes"),
        ("--processes 2 --process-id 0 --epochs 2", "--processes 2 --process-id 1", "has --epochs"),
        ("--processes 2 --process-id 0", None, "the port is in use"),
        ("--processes 2 --process-id 1", None, "another program answers there"),
    ],
)
def test_processes_that_cannot_work_together_end_in_one_line(
    tmp_path: Path, first: str, second: str | None, message: str
):
    """With status 3, before JAX starts; None is a program that holds the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        if second is None:
            other.listen()
        else:
            other.close()
        among = ("--mesh", "data=2", "--coordinator", f"127.0.0.1:{port}", "--out", str(tmp_path))
        started = [Warm("jaxdl digits", *among, *w.split()) for w in (first, second) if w]
        for process in started:
            _, errors = process.communicate()
            assert (process.returncode, errors.count("\n")) == (3, 1), errors
            assert message in errors


TINY = (
    *("--preset", "demo", "--scenes", "8", "3", "--width-divisor", "32", "--stages", "32"),
    *("--epochs", "3", "--learning-rate", ".005", "--batch-size", "4", "--canvases", "1"),
    *("--samples", "1", "--warmup", "2"),
)
CLOCK = ("images_per_s", "seconds")


def launch(folder: Path, out: str, *more: str, devices: int = 1) -> Warm:
    where = ("--data-dir", str(folder / "data"), "--out", str(folder / out))
    return Warm("jaxdl fcn train", *TINY, *where, *more, flags=QUICK, devices=devices)


def launch_two(folder: Path) -> list[Warm]:
    """Two processes of four devices; a silence of 20 seconds is a loss."""
    mesh = ("--mesh", "data=8", "--fsdp", "--lost-after", "20", "--processes", "2")
    address = ("--coordinator", f"127.0.0.1:{free_port()}")
    return [
        launch(folder, "run", *mesh, *address, "--process-id", str(k), devices=4) for k in range(2)
    ]


def wait_for(process: Warm, text: str) -> list[str]:
    """The lines up to the first with the text."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return seen
    raise AssertionError(f"ended without {text!r}: {seen} {process.communicate()[1]}")


def rows(folder: Path) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in row.items() if k not in CLOCK}
        for row in read_rows(folder / "fcn32s" / "metrics.jsonl")
    ]


def same(got: Any, want: Any, name: str = "") -> None:
    """Equal, numbers to 1e-5; shares of pixels to 2e-3: a near tie of two scores may flip."""
    if isinstance(want, dict):
        assert got.keys() == want.keys()
        for key in want:
            same(got[key], want[key], key)
    elif isinstance(want, list):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            same(one, other, name)
    else:
        within = 1e-5 if name in ("step", "epoch", "loss", "learning_rate") else 2e-3
        assert got == pytest.approx(want, abs=within), name


@pytest.mark.slow
def test_two_processes_stop_together_lose_one_and_end_as_one_process(tmp_path: Path):
    """SIGTERM to one stops both after the same step, saved. Killed, one takes the other with it,
    soon and with a message. One process with one device resumes from what the two saved, and ends
    with the metrics of a run that was never more than that."""
    straight = launch(tmp_path, "straight")
    _, errors = straight.communicate(timeout=300)
    assert straight.returncode == 0, errors

    two = launch_two(tmp_path)
    wait_for(two[0], "fcn32s epoch 1/3")
    os.kill(two[1].pid, signal.SIGTERM)
    ends = [process.communicate(timeout=120) for process in two]
    assert [process.returncode for process in two] == [143, 143], ends
    assert "run the same command to resume" in ends[0][1]
    assert "run the same command" not in ends[1][1]  # process 0 alone tells it
    assert "epoch" not in ends[1][0]

    two = launch_two(tmp_path)
    assert any("resumes at step" in line for line in wait_for(two[0], "fcn32s epoch 2/3"))
    os.kill(two[1].pid, signal.SIGKILL)
    _, errors = two[0].communicate(timeout=60)  # three times the silence
    assert two[0].returncode in (3, -signal.SIGABRT)
    assert "lost another process" in errors or "another task died" in errors
    two[1].communicate()

    last = launch(tmp_path, "run")
    output, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert "fcn32s: resumes at step" in output
    same(rows(tmp_path / "run"), rows(tmp_path / "straight"))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["device"]["count"] == 8
