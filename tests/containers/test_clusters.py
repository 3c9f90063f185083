"""Slurm's script and Kubernetes' manifest: sound, and of one mind with experiments and image."""

import dataclasses
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from jaxdl.cli.command import parse
from jaxdl.cli.devices import Devices
from jaxdl.digits.command import TRAIN as DIGITS
from jaxdl.fcn.config import Config
from tests.helpers.kubernetes import documents, problems

HOME = Path(__file__).parents[2] / "containers"
MANIFEST = HOME / "k8s/jobset.yaml"
SCRIPT = HOME / "slurm/train.sbatch"
GPUS = 8


def jobset() -> dict[str, Any]:
    (found,) = (d for d in documents(MANIFEST) if d["kind"] == "JobSet")
    return found["spec"]


def job() -> dict[str, Any]:
    (one,) = jobset()["replicatedJobs"]
    assert one["replicas"] == 1
    return one["template"]["spec"]


def container() -> dict[str, Any]:
    (one,) = job()["template"]["spec"]["containers"]
    return one


def options() -> dict[str, str]:
    """The manifest's options by name."""
    pairs = (word.split("=", 1) for word in container()["args"])
    return {name.removeprefix("--"): value for name, value in pairs}


def train_service() -> dict[str, Any]:
    """compose.yaml's, with what it extends."""
    own = yaml.safe_load((HOME / "compose.yaml").read_text())["services"]["train"]
    base = yaml.safe_load((HOME / own["extends"]["file"]).read_text())["services"]["train"]
    return base | own


def test_the_manifest_holds_to_the_schemas():
    found = documents(MANIFEST)
    assert [d["kind"] for d in found] == ["PersistentVolumeClaim"] * 2 + ["JobSet"]
    for document in found:
        assert problems(document) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("completionMode", "completionMod", "'completionMod' was unexpected"),
        ("maxRestarts: 20", "maxRestarts: many", "'many' is not of type 'integer'"),
        ("    replicatedJob: hosts\n", "", "'replicatedJob' is a required property"),
        ("sizeLimit: 8Gi", "sizeLimit: 8Gib", "does not match"),
        ("v1alpha2", "v1", "no schema for this kind"),
    ],
)
def test_the_schemas_refuse_mistakes(old: str, new: str, said: str, tmp_path: Path):
    path = tmp_path / "bad.yaml"
    text = MANIFEST.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert any(said in problem for d in documents(path) for problem in problems(d))


def test_the_options_are_the_experiments():
    names = {f.name for config in (Config, Devices) for f in dataclasses.fields(config)}
    assert container()["command"] == ["jaxdl", "fcn", "train"]
    assert {name.replace("-", "_") for name in options()} <= names
    words = re.findall(
        r"--([a-z][a-z-]*)", SCRIPT.read_text().split("\nsrun ")[1].split("\nrun=")[0]
    )
    assert {"out", "mesh", "coordinator", "processes", "process-id"} <= set(words)
    assert {word.replace("-", "_") for word in words} - {"kill_on_bad_exit"} <= names


def test_processes_devices_and_addresses_agree():
    found, hosts = options(), job()["completions"]
    assert job()["completionMode"] == "Indexed"  # numbers the pods
    assert hosts == job()["parallelism"] == int(found["processes"]) == 2
    assert container()["resources"]["limits"]["nvidia.com/gpu"] == GPUS
    assert found["mesh"] == f"data={hosts * GPUS}"
    variables = {entry["name"]: entry for entry in container()["env"]}
    assert len(variables["JAX_LOCAL_DEVICE_IDS"]["value"].split(",")) == GPUS
    host, port = found["coordinator"].split(":")
    assert [entry["containerPort"] for entry in container()["ports"]] == [int(port)]
    used = {host, found["process-id"]}
    assert used == {"$(COORDINATOR)", "$(PROCESS_ID)"}
    assert all(name.strip("$()") in variables for name in used)
    spec = jobset()
    assert spec["network"]["enableDNSHostnames"]
    assert spec["coordinator"]["replicatedJob"] == spec["replicatedJobs"][0]["name"]
    script = SCRIPT.read_text()
    for name, number in (("nodes", hosts), ("ntasks-per-node", 1), ("gpus-per-node", GPUS)):
        assert f"#SBATCH --{name}={number}\n" in script


def test_a_pod_asks_for_processors_and_memory_and_gets_no_more():
    """The same as limits and requests: it is evicted last. /dev/shm is a part of its memory."""
    resources = container()["resources"]
    assert resources["requests"] == resources["limits"]
    assert set(resources["limits"]) == {"cpu", "memory", "nvidia.com/gpu"}
    shm = next(v for v in job()["template"]["spec"]["volumes"] if v["name"] == "shm")
    sizes = (resources["limits"]["memory"], shm["emptyDir"]["sizeLimit"])
    memory, shared = (int(size.removesuffix("Gi")) for size in sizes)
    assert memory > 2 * shared


def test_what_the_comments_of_the_manifest_offer_is_sound(tmp_path: Path):
    """With every one of them in place the schemas are content."""
    text, lines = MANIFEST.read_text(), []
    for line in text.splitlines():
        offered = re.fullmatch(
            r"( +)# (- \{ name: .*|[a-z.]+/[a-z_]+: \d+|hugepages-2Mi: \w+)", line
        )
        lines.append(f"{offered[1]}{offered[2]}" if offered else line)
    assert sum(a != b for a, b in zip(lines, text.splitlines(), strict=True)) == 6
    path = tmp_path / "all.yaml"
    path.write_text("\n".join(lines))
    assert [problem for d in documents(path) for problem in problems(d)] == []


def test_image_folders_user_and_time_to_save_are_those_of_compose():
    service, pod = train_service(), job()["template"]["spec"]
    assert container()["image"] == service["image"].replace("${JAX_EXTRA:-cuda13}", "cuda13")
    volumes = dict(volume.split(":") for volume in service["volumes"])
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounts == {**volumes, "shm": "/dev/shm"}
    claims = {d["metadata"]["name"] for d in documents(MANIFEST) if "Claim" in d["kind"]}
    by_name = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(by_name) == set(mounts)
    used = {by_name[name]["persistentVolumeClaim"]["claimName"] for name in ("runs", "data")}
    assert used == claims
    assert by_name["shm"]["emptyDir"]["medium"] == "Memory"
    (user,) = re.findall(r"^USER (\d+):(\d+)$", (HOME / "Dockerfile").read_text(), re.MULTILINE)
    wanted = pod["securityContext"]
    assert [str(wanted[name]) for name in ("runAsUser", "runAsGroup")] == list(user)
    # Run folder and data are on the volumes: the image works in /jaxdl.
    assert "\nWORKDIR /jaxdl\n" in (HOME / "Dockerfile").read_text()
    assert options()["out"].startswith("runs/")
    assert all(options()[name].startswith("data/") for name in ("data", "weights"))
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert pod["terminationGracePeriodSeconds"] >= grace


def test_what_cannot_get_better_is_not_started_again():
    (rule,) = job()["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [2, 3]  # bad input, and a training that stopped
    assert rule["onExitCodes"]["containerName"] == container()["name"]
    assert job()["backoffLimit"] == 0


STANDINS = {
    "scontrol": 'if [ "$1" = show ]; then printf "gpu-7\\ngpu-8\\n"; else echo "$@" >> "$LOG"; fi',
    # The processes: SIGTERM has them save, and stop with 143.
    "srun": """echo "$@ devices $JAX_LOCAL_DEVICE_IDS" >> "$LOG"
[ "$STATUS" = wait ] || exit "$STATUS"
trap 'kill $!; echo saved >> "$LOG"; exit 143' TERM
sleep infinity &
echo $$ > "$READY"
wait""",
}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The variables of a job on a machine without Slurm, whose commands are stand-ins."""
    for name, body in STANDINS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    os.mkfifo(tmp_path / "ready")
    return {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "READY": str(tmp_path / "ready"),
        "STATUS": "0",
        "RUNS": "/shared/runs",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "gpu-[7-8]",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_ON_NODE": "8",
    }


def run(environ: dict[str, str], *words: str, stop: str = "") -> tuple[int, str, str]:
    """Status, the stand-ins' log, and errors; SIGTERM to the processes, or to the shell too."""
    with subprocess.Popen(
        ["bash", str(SCRIPT), *words], env=environ, stderr=subprocess.PIPE, text=True
    ) as shell:
        if stop:
            processes = int(Path(environ["READY"]).read_text())
            if stop == "shell too":
                shell.terminate()
            os.kill(processes, signal.SIGTERM)
        _, errors = shell.communicate(timeout=30)
    log = Path(environ["LOG"])
    return shell.returncode, log.read_text() if log.exists() else "", errors


def test_slurm_starts_a_process_a_node_with_all_that_it_must_know(slurm: dict[str, str]):
    status, log, _ = run(slurm, "fcn", "--data", "a b.tar")
    assert status == 0
    for part in (
        *("jaxdl fcn train --data a b.tar --out /shared/runs/fcn --mesh data=16",),
        *("--coordinator gpu-7:24711 --processes 2", "devices 0,1,2,3,4,5,6,7"),
    ):
        assert part in log
    assert "requeue" not in log


def test_slurm_starts_digits_too_which_has_no_train(slurm: dict[str, str]):
    status, log, _ = run(slurm, "digits", "--at-least", "97")
    assert status == 0
    (words,) = re.findall(r"jaxdl (digits .*) devices 0", log)
    cfg = parse(DIGITS, [*words.split()[1:], "--process-id", "1"])
    assert (cfg.out, cfg.at_least) == (Path("/shared/runs/digits"), 97)
    assert (cfg.devices.mesh, cfg.devices.processes) == ("data=16", 2)
    assert cfg.batch_size % 16 == 0  # the devices divide it, with no option


def test_the_number_of_gpus_is_slurms(slurm: dict[str, str]):
    """`sbatch --gpus-per-node=4`, with nothing else changed."""
    _, log, _ = run({**slurm, "SLURM_GPUS_ON_NODE": "4"}, "fcn")
    assert "--mesh data=8" in log
    assert "devices 0,1,2,3 " in log.replace("\n", " ")
    del slurm["SLURM_GPUS_ON_NODE"]
    status, _, errors = run(slurm, "fcn")
    assert status == 1
    assert "sbatch --gpus-per-node=8" in errors


@pytest.mark.parametrize(("python", "fraction"), [("3.11", ".85"), ("3.13", "")])
def test_slurm_bounds_memory_for_jax_0_10_alone(slurm, tmp_path, monkeypatch, python, fraction):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    ask = tmp_path / ".venv/bin/python"
    ask.write_text(f"#!/bin/sh\nexit {int(python != '3.11')}\n")
    ask.chmod(0o755)
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "fraction $XLA_CLIENT_MEM_FRACTION" >> "$LOG"\n')
    assert run(slurm, "fcn")[1] == f"fraction {fraction}\n"


def test_slurm_queues_again_what_saved_as_its_time_ran_out(slurm: dict[str, str]):
    assert "#SBATCH --signal=TERM@" in SCRIPT.read_text()  # to the processes alone
    status, log, _ = run({**slurm, "STATUS": "wait"}, "fcn", stop="processes")
    assert status == 143
    assert log.endswith("saved\nrequeue 4711\n")


def test_slurm_waits_for_what_is_cancelled_and_does_not_queue_it_again(slurm: dict[str, str]):
    status, log, _ = run({**slurm, "STATUS": "wait"}, "fcn", stop="shell too")
    assert status == 143
    assert log.endswith("saved\n")


@pytest.mark.parametrize("code", [2, 3])
def test_slurm_hands_on_the_status(slurm: dict[str, str], code: int):
    status, log, _ = run({**slurm, "STATUS": str(code)}, "fcn")
    assert (status, "requeue" in log) == (code, False)


def test_slurm_asks_for_what_is_missing(slurm: dict[str, str]):
    assert "name the subject" in run(slurm)[2]
    del slurm["RUNS"]
    status, log, errors = run(slurm, "fcn")
    assert (status, log) == (1, "")
    assert "RUNS: name a folder on storage that every node sees" in errors


@pytest.mark.parametrize("path", [*sorted(HOME.rglob("*.sh")), SCRIPT], ids=lambda p: p.name)
def test_scripts_are_bash(path: Path):
    """`make lint-containers` has shellcheck look at them, too."""
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
