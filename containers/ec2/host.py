"""The host that EC2 is asked for: image, type of instance, disk, and what it does at its start."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any, Literal

import yaml

from jaxdl.errors import InputError

HERE = Path(__file__).parent
TAG = "jaxdl"
# Image -> public parameter of its id; its user data lies beside this file.
IMAGES = {
    "dlami": (
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
    ),
    "ubuntu": "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
}
ROOT_DEVICE = "/dev/sda1"  # of both
ARCHITECTURE = "x86_64"  # of both, and of the container image
TAKE = "take g4dn.xlarge (T4), g6.xlarge (L4), p5.48xlarge (8 H100) or another of theirs"
# EC2's names of cards below compute capability 7.5: the open driver and CUDA 13 begin there.
OLD_CARDS = ("K520", "K80", "M60", "P100", "V100")
# Of 8 such cards the NVLinks are joined by NVSwitches; of the last ones by NVSwitches of the fourth
# generation, which fabric manager prepares with a subnet manager (NVIDIA's Fabric Manager guide).
SWITCHED, SUBNET = ("A100", "H100", "H200", "B200", "B300"), ("B200", "B300")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Start a host; ssh from one address is all that reaches it."""

    key_name: str
    """EC2 key pair for ssh."""
    ssh_from: str
    """The one address that ssh is allowed from: yours."""
    repository: str
    """Address that the host clones jaxdl from."""
    revision: str = "main"
    """Branch, tag or commit."""
    image: Literal["dlami", "ubuntu"] = "dlami"
    """dlami: AWS's Deep Learning Base AMI, with the driver; ubuntu: plain Ubuntu 24.04."""
    instance_type: str = "g6.xlarge"
    """g4dn.xlarge: T4 16 GB; g5.xlarge: A10G 24 GB; g6.xlarge: L4 24 GB; p5.48xlarge: 8 H100; any
    other of Intel's or AMD's processors with NVIDIA's cards from T4 on."""
    disk: int = 100
    """GiB of the encrypted root disk."""
    tags: tuple[str, ...] = ()
    """More tags, as name=value."""
    spot: bool = False
    """Cheaper, but AWS may end the host with two minutes' notice."""
    region: str | None = None
    """Instead of the region that is configured."""
    dry_run: bool = False
    """Show what would be asked for, ask EC2 what it would allow, and start nothing."""


def switches(name: str, ec2: Any) -> str:
    """Ask EC2 about an instance type: none, nvswitch or nvswitch4, as its GPUs are joined.

    Raises:
        InputError: it cannot train: another processor, no card of NVIDIA's, or one too old.
    """
    (found,) = ec2.describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
    processors = found["ProcessorInfo"]["SupportedArchitectures"]
    if ARCHITECTURE not in processors:
        raise InputError(
            f"--instance-type {name}: its processor is {', '.join(processors)}, and the images are "
            f"{ARCHITECTURE}; {TAKE}"
        )
    gpus = found.get("GpuInfo", {}).get("Gpus", ())
    if not gpus or any(gpu["Manufacturer"] != "NVIDIA" for gpu in gpus):
        raise InputError(f"--instance-type {name}: has no GPU of NVIDIA's; {TAKE}")
    card = gpus[0]["Name"]
    if card in OLD_CARDS:
        raise InputError(
            f"--instance-type {name}: {card} is below compute capability 7.5, where the open "
            f"driver and CUDA 13 begin; {TAKE}"
        )
    if gpus[0]["Count"] < 8 or card not in SWITCHED:
        return "none"
    return "nvswitch4" if card in SUBNET else "nvswitch"


def user_data(image: str, repository: str, revision: str, switched: str = "none") -> str:
    """The cloud-config of an image, with /etc/jaxdl/host.env added to its files."""
    config = yaml.safe_load((HERE / f"user-data.{image}.yaml").read_text())
    lines = {
        "JAXDL_REPOSITORY": repository,
        "JAXDL_REVISION": revision,
        "JAXDL_SWITCHES": switched,
    }
    content = "".join(f"{name}={shlex.quote(value)}\n" for name, value in lines.items())
    config["write_files"].insert(0, {"path": "/etc/jaxdl/host.env", "content": content})
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def request(cfg: Launch, image_id: str, switched: str) -> dict[str, Any]:
    """What EC2 is asked for, but for the security group."""
    tags = [{"Key": TAG, "Value": "host"}, {"Key": "Name", "Value": "jaxdl"}]
    for text in cfg.tags:
        name, equals, value = text.partition("=")
        if not equals or not name or name == TAG:
            raise InputError(f"--tags {text}: give name=value, with a name other than {TAG}")
        tags = [tag for tag in tags if tag["Key"] != name] + [{"Key": name, "Value": value}]
    disk = {"VolumeSize": cfg.disk, "VolumeType": "gp3", "Encrypted": True}
    wanted = {
        "ImageId": image_id,
        "InstanceType": cfg.instance_type,
        "KeyName": cfg.key_name,
        "MinCount": 1,
        "MaxCount": 1,
        "UserData": user_data(cfg.image, cfg.repository, cfg.revision, switched),
        "BlockDeviceMappings": [
            {"DeviceName": ROOT_DEVICE, "Ebs": disk | {"DeleteOnTermination": True}}
        ],
        # Version 2 alone: a program that is made to fetch an address gets no credentials.
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
        ],
    }
    if cfg.spot:
        wanted["InstanceMarketOptions"] = {"MarketType": "spot"}
    return wanted
