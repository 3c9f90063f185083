"""A mesh of devices computes what one device does; virtual devices, real processes on loopback."""

import json
import os
import socket
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

from jaxdl.devices.mesh import local_rows, make_mesh, parse_mesh, shardings
from jaxdl.errors import InputError
from jaxdl.fcn.data.batches import BatchSource
from jaxdl.fcn.data.decode import VOID
from tests.helpers.meshed import BATCH, CLASSES, STEPS, Scenes
from tests.helpers.processes import QUICK, ROOT, Warm, environment

# One worker runs the file: its runs are made once.
pytestmark = [pytest.mark.xdist_group("mesh"), pytest.mark.slow]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(devices: int, *arguments: str) -> Warm:
    return Warm("tests.helpers.meshed", *arguments, flags=QUICK, devices=devices)


def finish(*processes: Warm) -> None:
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), errors


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The runs of `tests.helpers.meshed`: one process of 8 devices, then two of 4."""
    folder = tmp_path_factory.mktemp("meshed")
    finish(start(8, str(folder)))
    address = f"127.0.0.1:{free_port()}"
    finish(*(start(4, str(folder), address, str(k)) for k in range(2)))
    one, two = (json.loads((folder / f"{n}.json").read_text()) for n in (1, 2))
    return one | {"replicated-2x4": two["replicated"], "resumed-2x4": two["resumed"]}


def test_any_devices_give_the_losses_of_one(found: dict[str, Any]):
    """Replicated on 2 and 8, split on 8, 2 processes of 4; and after a checkpoint of split arrays
    on 8 devices, on one and on 2 processes of 4. Six images on 8 devices: two rows are void."""
    want = found["one"]["losses"]
    assert len(want) == STEPS
    assert min(want) < 0.8 * want[0]
    for name, run in found.items():
        part = want[STEPS // 2 :] if "resumed" in name else want[: len(run["losses"])]
        np.testing.assert_allclose(run["losses"], part, rtol=0, atol=1e-5, err_msg=name)
    for name in ("two", "eight", "replicated-2x4", "resumed", "resumed-2x4"):
        np.testing.assert_allclose(found[name]["sums"], found["one"]["sums"], atol=1e-3)


def test_metrics_are_of_all_rows(found: dict[str, Any]):
    """Of training, and of a test part whose batches the devices do not divide."""
    for name in ("eight", "replicated-2x4"):
        for kind in ("figures", "test"):
            got, want = found[name][kind], found["one"][kind]
            assert got.keys() == want.keys()
            for key in want:
                assert got[key] == pytest.approx(want[key], abs=1e-5, nan_ok=True), (name, key)


def test_split_state_lies_in_parts(found: dict[str, Any]):
    for name in ("fsdp", "resumed-2x4"):
        assert found[name]["held"] < 0.4 * found[name]["bytes"]
    assert found["eight"]["held"] == found["eight"]["bytes"]


def test_devices_exchange_gradients_and_no_activations(found: dict[str, Any]):
    """Collectives of the compiled step: sums of gradients and figures; gathers of parameters."""
    kernel = 9 * 16 * 16  # numbers of the largest parameter
    for name in ("two", "eight", "fsdp"):
        assert {kind for kind, _ in found[name]["moved"]} >= {"all-reduce"}
        assert max(size for _, size in found[name]["moved"]) <= kernel
    assert {kind for kind, _ in found["eight"]["moved"]} == {"all-reduce"}
    assert len(found["eight"]["moved"]) <= 3


def test_one_canvas_is_compiled_once(found: dict[str, Any]):
    assert found["replicated-2x4"]["compiled"] == found["resumed-2x4"]["compiled"] == 1


class Counted(Scenes):
    """Remembers which were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def __getitem__(self, i: int) -> Any:
        self.read.append(i)
        return super().__getitem__(i)


def test_hosts_read_their_own_rows_and_void_ones_fill_up():
    """The parts of two hosts are the batch of one, and no image is read by both."""
    arguments: Any = (range(24), [(32, 32)], BATCH)
    whole = BatchSource(Scenes(), *arguments, seed=3)
    scenes = [Counted(), Counted()]
    parts = [
        BatchSource(s, *arguments, seed=3, rows=8, part=slice(4 * k, 4 * k + 4), cache="none")
        for k, s in enumerate(scenes)
    ]
    for n in range(len(whole)):
        assert parts[0].ids(n) == parts[1].ids(n) == whole.ids(n)
        images, labels, sizes = (
            np.concatenate(arrays) for arrays in zip(*(part[n] for part in parts), strict=True)
        )
        for got, want in zip((images, labels, sizes), whole[n], strict=True):
            np.testing.assert_array_equal(got[:BATCH], want)
        assert (labels[BATCH:] == VOID).all()
        assert not sizes[BATCH:].any()
        assert not images[BATCH:].any()
    assert sorted(scenes[0].read + scenes[1].read) == list(range(24))
    with pytest.raises(InputError, match="--cache device"):
        BatchSource(Scenes(), *arguments, seed=3, rows=8, cache="device")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows=2", "unknown axis rows; the axes are data and model"),
        ("8", "must be data=N"),
        ("data=", "must be data=N"),
        ("data=-1", "must be data=N"),
        ("data=2,data=4", "names data twice"),
        ("data=0", "data must be 1 or more"),
        ("model=2", "data is missing"),
    ],
)
def test_meshes_that_make_no_sense_are_refused(text: str, message: str):
    with pytest.raises(InputError, match=message) as caught:
        parse_mesh(text)
    assert str(caught.value).startswith(f"--mesh {text}: ")


@pytest.mark.parametrize(
    ("given", "parts", "size"),
    [({}, 32, None), ({"JAX_NUM_CPU_DEVICES": "4"}, 6, 3), ({"JAX_NUM_CPU_DEVICES": "1"}, 8, 0)],
)
def test_cores_are_devices(given: dict[str, str], parts: int, size: int | None):
    """As many as divide the work; the environment's number is obeyed."""
    if size is None:
        cores = len(os.sched_getaffinity(0))
        most = max(n for n in range(1, cores + 1) if parts % n == 0)
        size = most if most > 1 else 0
    code = (
        "from jaxdl.devices.mesh import core_mesh; "
        f"mesh = core_mesh({parts}); print(0 if mesh is None else mesh.size)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment() | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == size


def test_mesh_of_devices():
    assert parse_mesh("data=8") == (8, 1)
    assert parse_mesh("model=2, data=4") == (4, 2)
    with pytest.raises(InputError, match=r"4 x 2 = 8 devices, but there are 1 in 1 process"):
        make_mesh(4, 2, jax.devices()[:1])
    mesh = make_mesh(1)
    assert local_rows(6, mesh) == local_rows(6, None) == slice(0, 6)
    assert shardings({"kernel": np.zeros(CLASSES)}, None) is None
