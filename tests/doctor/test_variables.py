"""`jaxdl doctor` on the variables of jax, XLA and CUDA."""

import os
import re
import subprocess
import sys

import pytest

from tests.helpers.machine import CUDA13, PACKAGES, SMI

FRACTION, OLD = "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"
ALLOCATOR = "XLA_PYTHON_CLIENT_ALLOCATOR"
# Variables, the row, level, what is seen, the remedy.
ROWS = [
    ({FRACTION: ".5", OLD: ".5"}, "memory fraction", "error", "both", f"unset {OLD}"),
    ({OLD: ".5"}, "memory fraction", "warning", "old name", f"{FRACTION}=.5"),
    ({FRACTION: "1.0"}, "memory fraction", "error", "=1.0", f"export {FRACTION}=.85"),
    ({FRACTION: "most"}, "memory fraction", "error", "=most", f"export {FRACTION}=.85"),
    ({FRACTION: ""}, "memory fraction", "ok", "75%", ""),
    ({FRACTION: "2"}, "memory fraction", "error", "unified", "export TF_FORCE_UNIFIED_MEMORY=1"),
    (
        {FRACTION: "3.2", "TF_FORCE_UNIFIED_MEMORY": "true"},
        *("memory fraction", "ok", "320%", ""),
    ),
    ({ALLOCATOR: "pinned"}, "allocator", "error", "jax refuses it", f"unset {ALLOCATOR}"),
    ({ALLOCATOR: "platform"}, "allocator", "ok", "slow", ""),
    (
        {"CUDA_VISIBLE_DEVICES": ""},
        *("CUDA_VISIBLE_DEVICES", "error", "hides every GPU", "unset CUDA_VISIBLE_DEVICES"),
    ),
    (
        {"CUDA_VISIBLE_DEVICES": "-1"},
        *("CUDA_VISIBLE_DEVICES", "error", "hides every GPU", "unset CUDA_VISIBLE_DEVICES"),
    ),
    (
        {"CUDA_VISIBLE_DEVICES": "3"},
        *("CUDA_VISIBLE_DEVICES", "error", "there is no 3 (there is 0)", "unset CUDA_VISIBLE"),
    ),
    (
        {"CUDA_VISIBLE_DEVICES": "0,3"},
        *("CUDA_VISIBLE_DEVICES", "warning", "no 3", "export CUDA_VISIBLE_DEVICES=0"),
    ),
    ({"CUDA_VISIBLE_DEVICES": "GPU-1"}, "CUDA_VISIBLE_DEVICES", "ok", "GPU-1", ""),
    ({"JAX_PLATFORM_NAME": "cpu"}, "JAX_PLATFORM_NAME", "warning", "uses the CPU", "unset JAX_P"),
    (
        {"JAX_PLATFORM_NAME": "gpus"},
        "JAX_PLATFORM_NAME",
        "error",
        "knows no",
        "unset JAX_PLATFORM_N",
    ),
    ({"JAX_ENABLE_X64": "maybe"}, "JAX_ENABLE_X64", "error", "=maybe", "unset JAX_ENABLE_X64"),
    ({"JAX_ENABLE_X64": ""}, "JAX_ENABLE_X64", "error", "refuses", "unset JAX_ENABLE_X64"),
    ({"JAX_ENABLE_X64": "True"}, "JAX_ENABLE_X64", "ok", "True", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "name", "level", "seen", "remedy"),
    ROWS,
    ids=[" ".join(f"{k}={v}" for k, v in row[0].items()) for row in ROWS],
)
def test_a_variable_is_judged(machine, environ, name, level, seen, remedy):
    machine.environ |= environ
    machine.holds(name, level, seen, remedy)


@pytest.mark.parametrize(
    ("environ", "level", "seen", "remedy"),
    [
        ({}, "ok", "75% at the start, more as needed", ""),
        ({FRACTION: ".85"}, "ok", "85%, at most", ""),
        ({FRACTION: "all"}, "error", "=all", f"unset {FRACTION}"),
    ],
)
def test_from_jax_0_12_on_the_fraction_is_a_bound(machine, environ, level, seen, remedy):
    machine.install(**dict.fromkeys((*PACKAGES, *CUDA13), "0.12.0.1"))
    machine.environ |= environ
    machine.holds("memory fraction", level, seen, remedy)


def test_memory_in_use_is_told_where_jax_takes_it_at_the_start(machine):
    machine.smi(SMI.replace("22500", "3000"), users="4711, python, 19000")
    machine.holds("memory fraction", "warning", "4711, python", "MEM_FRACTION=0.12")
    for name, value in (("XLA_PYTHON_CLIENT_PREALLOCATE", "false"), (ALLOCATOR, "platform")):
        environ, machine.environ = machine.environ, machine.environ | {name: value}
        machine.holds("memory fraction", "ok", "as needed", "")
        machine.environ = environ


def test_a_platform_that_is_not_here_is_not_asked_for(machine):
    machine.no_gpu()
    machine.environ["JAX_PLATFORM_NAME"] = "gpu"
    machine.jax("", [], err="RuntimeError: Unknown backend: gpu requested")
    machine.holds("JAX_PLATFORM_NAME", "error", "finds no GPU", "unset JAX_PLATFORM_NAME")
    machine.quick = True
    machine.holds("JAX_PLATFORM_NAME", "error", "finds no GPU", "unset JAX_PLATFORM_NAME")


def test_an_instance_of_a_divided_card_is_a_device(machine):
    xml = (
        "<nvidia_smi_log><gpu><uuid>GPU-1</uuid><mig_mode><current_mig>Enabled</current_mig>"
        "</mig_mode></gpu></nvidia_smi_log>"
    )
    listing = "GPU 0: A100 (UUID: GPU-1)\n  MIG 1g.5gb  Device  0: (UUID: MIG-7)"
    machine.smi(SMI, xml=xml, listing=listing)
    machine.environ["CUDA_VISIBLE_DEVICES"] = "MIG-7"
    machine.holds("CUDA_VISIBLE_DEVICES", "ok", "MIG-7", "")
    machine.holds("MIG", "ok", "1 instances", "")
    machine.environ["CUDA_VISIBLE_DEVICES"] = "MIG-8"
    machine.holds("CUDA_VISIBLE_DEVICES", "error", "no MIG-8", "unset CUDA_VISIBLE_DEVICES")


FLAGS = [
    ("--xla_fooo=1", "Unknown flag in XLA_FLAGS: --xla_fooo=1", "unset XLA_FLAGS"),
    (
        "--xla_cpu_enable_fast_math=true --xla_fooo=1 --xla_bar",
        "Unknown flags in XLA_FLAGS: --xla_fooo=1 --xla_bar",
        "export XLA_FLAGS='--xla_cpu_enable_fast_math=true'",
    ),
    (
        "--xla_cpu_enable_fast_math=maybe --xla_cpu_use_xnnpack=true",
        "Couldn't interpret value maybe",
        "export XLA_FLAGS='--xla_cpu_use_xnnpack=true'",
    ),
    ("xla_fooo", "Could not open file", "unset XLA_FLAGS"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "seen", "remedy"), FLAGS)
def test_flags_are_judged_by_what_xla_says(machine, flags, seen, remedy):
    """By this machine's jax, for real: it ends the process."""
    machine.no_gpu()
    machine.environ |= {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    machine.program("python", f'exec {sys.executable} "$@"')
    found = machine.holds("XLA_FLAGS", "error", seen, remedy)
    (jax,) = (f for f in found if f.name == "jax")
    assert "errors above (XLA_FLAGS)" in jax.remedy
    assert re.search("lag parsing failed|XLA_FLAGS", jax.seen)  # XLA's reason, not its flags' list


@pytest.mark.slow
def test_jax_refuses_an_empty_truth_value_as_doctor_does():
    done = subprocess.run(
        [sys.executable, "-c", "import jax"],
        env={**os.environ, "JAX_ENABLE_X64": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "invalid truth value" in done.stderr
