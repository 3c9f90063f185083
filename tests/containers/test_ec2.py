"""The EC2 host: its cloud-config files, and the launcher against a stand-in for AWS (moto)."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.stub import Stubber
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ssm.models import Parameter, ssm_backends

import launch
from host import IMAGES as PARAMETERS
from host import switches, user_data

HOME = Path(__file__).parents[2] / "containers/ec2"
IMAGES = ("dlami", "ubuntu")
REGION = "eu-west-1"
AMI = "ami-12c6146b"  # one that moto knows

# botocore's own use of the clock's older functions.
pytestmark = pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")


@pytest.fixture
def aws(monkeypatch):
    """EC2 and SSM of an empty account, with AWS's public image parameters and a key pair."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        for name in PARAMETERS.values():
            put_image(name)
        ec2 = boto3.client("ec2")
        ec2.create_key_pair(KeyName="mine")
        yield ec2


def put_image(name: str) -> None:
    """`put_parameter` refuses names below /aws, as AWS does."""
    backend: Any = ssm_backends[DEFAULT_ACCOUNT_ID][REGION]
    backend._parameters[name].append(
        Parameter(
            account_id=DEFAULT_ACCOUNT_ID,
            name=name,
            value=AMI,
            parameter_type="String",
            description="",
            allowed_pattern=None,
            keyid=None,
            last_modified_date=0,
            version=1,
            data_type="text",
        )
    )


def options(*more: str, address: str = "203.0.113.7") -> list[str]:
    start = ["launch", "--key-name", "mine", "--ssh-from", address]
    return [*start, "--repository", "https://example.org/jaxdl.git", *more]


def hosts(ec2) -> list:
    found = ec2.describe_instances()["Reservations"]
    return [host for part in found for host in part["Instances"]]


@pytest.mark.slow
def test_a_host_is_started_as_it_should_be(aws, capsys):
    assert launch.main(options("--tags", "team=vision", "--disk", "200")) == 0
    (host,) = hosts(aws)
    assert (host["ImageId"], host["InstanceType"], host["KeyName"]) == (AMI, "g6.xlarge", "mine")
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    tags = {tag["Key"]: tag["Value"] for tag in host["Tags"]}
    assert tags == {"jaxdl": "host", "Name": "jaxdl", "team": "vision"}
    (group,) = aws.describe_security_groups(GroupNames=["jaxdl-ssh"])["SecurityGroups"]
    assert [g["GroupId"] for g in host["SecurityGroups"]] == [group["GroupId"]]
    (rule,) = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (22, 22, "tcp")
    assert [r["CidrIp"] for r in rule["IpRanges"]] == ["203.0.113.7/32"]
    volume_ids = [m["Ebs"]["VolumeId"] for m in host["BlockDeviceMappings"]]
    (volume,) = aws.describe_volumes(VolumeIds=volume_ids)["Volumes"]
    assert (volume["Encrypted"], volume["Size"], volume["VolumeType"]) == (True, 200, "gp3")
    said = capsys.readouterr().out
    tunnel = (
        f"ssh -N -L 6006:127.0.0.1:6006 -L 8888:127.0.0.1:8888 ubuntu@{host['PublicIpAddress']}"
    )
    assert tunnel in said
    assert f"terminate {host['InstanceId']}" in said


@pytest.mark.slow
def test_the_group_is_used_again_and_never_widened(aws, capsys):
    assert launch.main(options()) == 0
    assert launch.main(options()) == 0
    assert len({h["SecurityGroups"][0]["GroupId"] for h in hosts(aws)}) == 1
    assert launch.main(options(address="203.0.113.8")) == 2
    assert "not ssh from 203.0.113.8/32 alone" in capsys.readouterr().err
    (group,) = aws.describe_security_groups(GroupNames=["jaxdl-ssh"])["SecurityGroups"]
    ranges = [{"CidrIp": "0.0.0.0/0"}]
    everyone = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ranges}
    aws.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[everyone])
    assert launch.main(options()) == 2
    assert "0.0.0.0/0" in capsys.readouterr().err
    assert len(hosts(aws)) == 2


@pytest.mark.slow
def test_a_dry_run_starts_and_makes_nothing_and_says_what_it_asked(aws, capsys):
    assert launch.main(options("--dry-run", "--spot")) == 0
    said = capsys.readouterr().out
    assert "dry run: nothing was started" in said
    wanted = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert wanted["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "may start this host: they may" in said
    assert "may make the security group jaxdl-ssh: they may" in said
    assert "not asked: whether they may open its port 22 to 203.0.113.7/32" in said
    assert "not asked: the quota" in said
    assert not hosts(aws)
    names = [g["GroupName"] for g in aws.describe_security_groups()["SecurityGroups"]]
    assert "jaxdl-ssh" not in names
    launch.main(options())  # now the group is there
    capsys.readouterr()
    assert launch.main(options("--dry-run")) == 0
    said = capsys.readouterr().out
    assert "lets in ssh from your address alone" in said
    assert "port 22" not in said
    assert len(hosts(aws)) == 1


@pytest.mark.slow
def test_a_dry_run_asks_ec2_also_on_its_first_use(aws, capsys, monkeypatch):
    """No group is there yet; EC2 refuses all the same what these credentials may not."""
    ec2, real = boto3.client("ec2"), boto3.Session.client
    types = aws.describe_instance_types(InstanceTypes=["g6.xlarge"])
    del types["ResponseMetadata"]
    monkeypatch.setattr(
        boto3.Session, "client", lambda s, n, *a, **k: ec2 if n == "ec2" else real(s, n, *a, **k)
    )
    with Stubber(ec2) as stubber:
        stubber.add_response("describe_instance_types", types)
        stubber.add_response("describe_key_pairs", {"KeyPairs": []})
        stubber.add_response("describe_security_groups", {"SecurityGroups": []})
        stubber.add_client_error("create_security_group", "DryRunOperation")
        stubber.add_client_error("run_instances", "UnauthorizedOperation", "no")
        assert launch.main(options("--dry-run")) == 2
        stubber.assert_no_pending_responses()
    assert "ask for the permission" in capsys.readouterr().err


REFUSED = {
    "g5g.xlarge": "its processor is arm64",
    "p3dn.24xlarge": "V100 is below compute capability 7.5",
    "p3.2xlarge": "InvalidInstanceType",  # of another region, as moto has it
    "t3.micro": "no GPU of NVIDIA's",
}
SWITCHES = {
    **dict.fromkeys(("g4dn.xlarge", "g5.48xlarge", "g6.xlarge", "g6e.48xlarge"), "none"),
    **dict.fromkeys(("p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge"), "nvswitch"),
    **dict.fromkeys(("p5e.48xlarge", "p5en.48xlarge"), "nvswitch"),
    **dict.fromkeys(("p6-b200.48xlarge", "p6-b300.48xlarge"), "nvswitch4"),
}


@pytest.mark.slow
def test_the_instance_type_is_one_that_can_train(aws, capsys):
    for name, said in REFUSED.items():
        assert launch.main(options("--instance-type", name)) == 2
        error = capsys.readouterr().err
        assert said in error
        assert "take g4dn.xlarge (T4), g6.xlarge (L4)" in error
        assert error.count("\n") == 1
    assert not hosts(aws)
    assert {name: switches(name, aws) for name in SWITCHES} == SWITCHES
    assert launch.main(options("--instance-type", "p5.48xlarge", "--image", "ubuntu")) == 0
    (host,) = hosts(aws)
    sent = aws.describe_instance_attribute(InstanceId=host["InstanceId"], Attribute="userData")
    text = base64.b64decode(sent["UserData"]["Value"]).decode()
    assert "JAXDL_SWITCHES=nvswitch\n" in yaml.safe_load(text)["write_files"][0]["content"]


INSTALLED = {
    "none": [],
    "nvswitch": ["nvidia-fabricmanager-580"],
    "nvswitch4": ["nvlsm", "nvidia-fabricmanager-580"],
}


@pytest.mark.parametrize("kind", INSTALLED)
def test_plain_ubuntu_gets_what_prepares_its_nvswitches(kind, tmp_path):
    """The part of its script that does, run with stand-ins that note their calls."""
    config = yaml.safe_load((HOME / "user-data.ubuntu.yaml").read_text())
    script = config["write_files"][-1]["content"]
    part = script[script.index("driver=580") : script.index("if ! command -v nvidia-ctk")]
    part = part.replace("/etc/modules-load.d", str(tmp_path))
    notes = tmp_path / "notes"
    for name in ("apt-get", "systemctl", "curl", "dpkg"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $@" >> {notes}\n')
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "JAXDL_SWITCHES": kind}
    subprocess.run(["bash", "-euo", "pipefail", "-c", part], env=environ, check=True)
    words = notes.read_text().split() if notes.exists() else []
    assert [word for word in words if word in ("nvlsm", "nvidia-fabricmanager-580")] == INSTALLED[
        kind
    ]
    assert ("nvidia-fabricmanager" in words) == (kind != "none")  # of systemctl enable


@pytest.mark.slow
def test_only_hosts_of_ours_are_ended(aws, capsys):
    launch.main(options())
    (ours,) = (host["InstanceId"] for host in hosts(aws))
    other = aws.run_instances(ImageId=AMI, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    assert launch.main(["terminate", ours, other]) == 2
    assert f"{other}: has no tag jaxdl" in capsys.readouterr().err
    assert {host["State"]["Name"] for host in hosts(aws)} == {"running"}
    assert launch.main(["terminate", ours]) == 0
    states = {host["InstanceId"]: host["State"]["Name"] for host in hosts(aws)}
    assert (states[ours], states[other]) == ("terminated", "running")


BAD_INPUT = [
    (options(address="0.0.0.0/0"), "would let in more than one address"),
    (options(address="0.0.0.0"), "would let in more than one address"),
    (options(address="10.0.0.0/24"), "would let in more than one address"),
    (options(address="me"), "give your own address"),
    (options("--disk", "10"), "--disk 10"),
    (options("--tags", "team"), "--tags team: give name=value"),
    (options("--key-name", "other"), "InvalidKeyPair.NotFound"),
    (["terminate", "host"], "host: is not an instance id"),
    (["terminate", "i-00000000"], "InvalidInstanceID.NotFound"),
]


@pytest.mark.slow
def test_bad_input_is_one_line(aws, capsys):
    """In one account, which stays empty: making one takes a second."""
    for words, said in BAD_INPUT:
        assert launch.main(words) == 2, words
        error = capsys.readouterr().err
        assert said in error
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert not hosts(aws), words
        groups = aws.describe_security_groups()["SecurityGroups"]
        assert "jaxdl-ssh" not in [group["GroupName"] for group in groups], words


REMEDIES = {
    "VcpuLimitExceeded": "Running On-Demand G and VT instances",
    "MaxSpotInstanceCountExceeded": "All G and VT Spot",
    "InsufficientInstanceCapacity": "another --region",
    "UnauthorizedOperation": "ask for the permission",
}


@pytest.mark.slow
def test_what_aws_refuses_is_told_with_its_remedy(aws, capsys, monkeypatch):
    """AWS's own answers, put in place of the stand-in's by botocore's Stubber."""
    launch.main(options())  # the group is there
    ec2, real = boto3.client("ec2"), boto3.Session.client
    groups = aws.describe_security_groups(GroupNames=["jaxdl-ssh"])
    types = aws.describe_instance_types(InstanceTypes=["g6.xlarge"])
    del groups["ResponseMetadata"], types["ResponseMetadata"]

    def client(session, name, *rest, **options):
        return ec2 if name == "ec2" else real(session, name, *rest, **options)

    monkeypatch.setattr(boto3.Session, "client", client)
    for code, remedy in REMEDIES.items():
        with Stubber(ec2) as stubber:
            stubber.add_response("describe_instance_types", types)
            stubber.add_response("describe_key_pairs", {"KeyPairs": []})
            stubber.add_response("describe_security_groups", groups)
            stubber.add_client_error("run_instances", code, "no more")
            capsys.readouterr()
            assert launch.main(options()) == 2, code
            assert remedy in capsys.readouterr().err


@pytest.mark.slow
def test_without_credentials_or_region_the_remedy_is_named(monkeypatch, tmp_path, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert launch.main(options()) == 2
    assert "no region; give --region" in capsys.readouterr().err
    assert launch.main(options("--region", REGION)) == 2
    assert "no AWS credentials" in capsys.readouterr().err


@pytest.mark.slow
def test_a_region_without_the_image_is_named(aws, capsys):
    assert launch.main(options("--region", "us-east-2")) == 2
    assert "this region has no such image" in capsys.readouterr().err


# Of cloud-init's modules and its base schema; `cloud-init schema` lets unknown keys pass.
KEYS = {"package_update", "packages", "write_files", "runcmd"}


@pytest.mark.parametrize("image", IMAGES)
def test_the_cloud_config_is_sound(image, tmp_path):
    text = (HOME / f"user-data.{image}.yaml").read_text()
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    assert set(config) <= KEYS
    assert "0.0.0.0" not in text
    scripts = [f for f in config["write_files"] if f["content"].startswith("#!")]
    assert [[f["path"]] for f in scripts] == config["runcmd"]
    for file in scripts:
        assert file["permissions"] == "0755"
        assert "set -euo pipefail" in file["content"]
        done = subprocess.run(["bash", "-n"], input=file["content"], text=True, check=False)
        assert done.returncode == 0
    sent = tmp_path / "sent.yaml"
    sent.write_text(user_data(image, "https://example.org/a b.git", "v1; reboot"))
    merged = yaml.safe_load(sent.read_text())
    first = merged["write_files"].pop(0)
    assert merged == config
    shell = '. /dev/stdin; printf \'%s|\' "$JAXDL_REPOSITORY" "$JAXDL_REVISION"'
    done = subprocess.run(
        ["bash", "-c", shell], input=first["content"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "https://example.org/a b.git|v1; reboot|"
    if shutil.which("cloud-init"):
        command = ["cloud-init", "schema", "--config-file", str(sent)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_driver_of_ubuntu_is_kept_from_upgrades():
    config = yaml.safe_load((HOME / "user-data.ubuntu.yaml").read_text())
    (held,) = (f["content"] for f in config["write_files"] if "apt.conf.d" in f["path"])
    patterns = re.findall(r'"([^"]+)"', held)
    script = config["write_files"][-1]["content"]
    installed = re.findall(r"[a-z][a-z-]*(?=-\$driver)", script)
    assert len(set(installed)) >= 3
    assert all(any(f"{name}-".startswith(p) for p in patterns) for name in installed)
