"""Start a GPU host on EC2 for jaxdl, and end it.

    python containers/ec2/launch.py launch --key-name KEY --ssh-from 203.0.113.7 --repository URL
    python containers/ec2/launch.py launch ... --dry-run
    python containers/ec2/launch.py terminate i-0123456789abcdef0

Needs boto3 (`pip install -e '.[ec2]'`), credentials and a region as the AWS command line has them.
A host costs money from its start until it is terminated.
"""

import dataclasses
import ipaddress
import json
import re
import sys
from typing import Annotated, Any

import tyro

from host import IMAGES, TAG, TAKE, Launch, request, switches
from jaxdl.errors import EXIT_STATUS, InputError

GROUP = "jaxdl-ssh"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    """End hosts that this tool started; their disks are deleted."""

    ids: tyro.conf.Positional[tuple[str, ...]]
    """Instance ids."""
    region: str | None = None
    """Instead of the region that is configured."""


# AWS's error code -> what to do about it.
REMEDIES = {
    "VcpuLimitExceeded": "ask for more vCPUs of that family: Service Quotas, Amazon EC2, "
    '"Running On-Demand G and VT instances" (P instances have their own)',
    "MaxSpotInstanceCountExceeded": 'ask for more: Service Quotas, Amazon EC2, "All G and VT Spot '
    'Instance Requests", or leave out --spot',
    "InsufficientInstanceCapacity": "try again later, another --region or another --instance-type",
    "InvalidKeyPair.NotFound": "name a key pair of this region with --key-name "
    "(aws ec2 describe-key-pairs)",
    "UnauthorizedOperation": "these credentials may not do that; ask for the permission",
    "InvalidInstanceType": f"this region has no such type; {TAKE}, or another --region",
    "Unsupported": "choose another --instance-type or --region",
    "ParameterNotFound": "this region has no such image; choose another --image or --region",
    "InvalidInstanceID.NotFound": "look at the ids and the region: aws ec2 describe-instances",
    "AuthFailure": "the credentials are refused; look at aws sts get-caller-identity",
}


def single_address(text: str) -> str:
    """One address as a network of one host; InputError for anything wider."""
    try:
        network = ipaddress.ip_network(text.strip(), strict=True)
    except ValueError as error:
        raise InputError(f"--ssh-from {text}: {error}; give your own address") from error
    if network.num_addresses != 1 or network.network_address.is_unspecified:
        raise InputError(f"--ssh-from {text}: would let in more than one address; give your own")
    return str(network)


def security_group(ec2: Any, address: str, error_type: type[Exception] | None) -> str | None:
    """The group that lets in ssh from the address alone: made once, then used again.

    Args:
        ec2: client.
        address: as a network of one host.
        error_type: of a dry run, which makes nothing (None: it is none).

    Returns:
        Its id; None if a dry run would have made it.
    """
    found = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [GROUP]}, {"Name": f"tag:{TAG}", "Values": ["*"]}]
    )["SecurityGroups"]
    version = 6 if ":" in address else 4
    name, key = ("Ipv6Ranges", "CidrIpv6") if version == 6 else ("IpRanges", "CidrIp")
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, name: [{key: address}]}
    if found:
        group = found[0]
        allowed = [
            (p["IpProtocol"], p.get("FromPort"), p.get("ToPort"), *ranges)
            for p in group["IpPermissions"]
            for ranges in [
                [r["CidrIp"] for r in p.get("IpRanges", ())]
                + [r["CidrIpv6"] for r in p.get("Ipv6Ranges", ())]
                + [r["GroupId"] for r in p.get("UserIdGroupPairs", ())]
                + [r["PrefixListId"] for r in p.get("PrefixListIds", ())]
            ]
        ]
        if allowed != [("tcp", 22, 22, address)]:
            raise InputError(
                f"security group {group['GroupId']} ({GROUP}) allows {allowed}, not ssh from "
                f"{address} alone; mend it, or: aws ec2 delete-security-group "
                f"--group-id {group['GroupId']}"
            )
        return group["GroupId"]
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": TAG, "Value": "ssh"}]}]
    wanted = {
        "GroupName": GROUP,
        "Description": "jaxdl: ssh from one address",
        "TagSpecifications": tags,
    }
    if error_type is not None:
        allowed_in_dry_run(ec2.create_security_group, wanted, error_type)
        return None
    group_id = ec2.create_security_group(**wanted)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[rule])
    return group_id


def allowed_in_dry_run(call: Any, wanted: dict[str, Any], error_type: type[Exception]) -> None:
    """Ask EC2 whether it would do this; it answers by an error, which is raised if it would not."""
    try:
        call(**wanted, DryRun=True)
    except error_type as error:
        if _code(error) != "DryRunOperation":
            raise


def dry_run(
    cfg: Launch, wanted: dict[str, Any], group: str | None, ec2: Any, error_type: type[Exception]
) -> None:
    """Show the request, ask EC2 whether it would be allowed, and say what was not asked."""
    print(json.dumps(wanted, indent=2))
    allowed_in_dry_run(ec2.run_instances, wanted, error_type)
    print(
        f"asked of EC2: the image {wanted['ImageId']}, the type {cfg.instance_type}, the key pair "
        f"{cfg.key_name}, and whether these credentials may start this host: they may"
    )
    if group is None:
        print(
            f"asked of EC2: whether they may make the security group {GROUP}: they may; it is not "
            "there yet, so the host was asked for without it"
        )
        print(
            f"not asked: whether they may open its port 22 to {single_address(cfg.ssh_from)} alone"
        )
    else:
        print(f"asked of EC2: the security group {group} lets in ssh from your address alone")
    print("not asked: the quota of vCPUs and the free capacity; EC2 looks at them at the start")
    print("dry run: nothing was started, nothing was made")


def launch(cfg: Launch, session: Any, error_type: type[Exception]) -> str | None:
    """Start the host, wait until it answers, tell how to reach it; its id (None in a dry run)."""
    if cfg.disk < 50:
        raise InputError(f"--disk {cfg.disk}: the image and the data need 50 GiB or more")
    address = single_address(cfg.ssh_from)
    ec2, ssm = session.client("ec2"), session.client("ssm")
    parameter = ssm.get_parameter(Name=IMAGES[cfg.image])
    image_id = parameter["Parameter"]["Value"]
    wanted = request(cfg, image_id, switches(cfg.instance_type, ec2))
    ec2.describe_key_pairs(KeyNames=[cfg.key_name])  # refused before anything is made
    group = security_group(ec2, address, error_type if cfg.dry_run else None)
    if group is not None:
        wanted["SecurityGroupIds"] = [group]
    if cfg.dry_run:
        dry_run(cfg, wanted, group, ec2, error_type)
        return None
    host = ec2.run_instances(**wanted)["Instances"][0]["InstanceId"]
    print(
        f"{host}: starting; end it with: python containers/ec2/launch.py terminate {host}",
        flush=True,
    )
    for state, text in (("instance_running", "running"), ("instance_status_ok", "answers")):
        ec2.get_waiter(state).wait(InstanceIds=[host])
        print(f"{host}: {text}", flush=True)
    found = ec2.describe_instances(InstanceIds=[host])["Reservations"][0]["Instances"][0]
    where = found.get("PublicIpAddress") or found["PrivateIpAddress"]
    print(
        f"ssh -N -L 6006:127.0.0.1:6006 -L 8888:127.0.0.1:8888 ubuntu@{where}\n"
        "   then TensorBoard is at http://127.0.0.1:6006 and Jupyter at http://127.0.0.1:8888\n"
        f"ssh ubuntu@{where} cloud-init status --wait --long"
    )
    return host


def terminate(cfg: Terminate, session: Any) -> None:
    """End these hosts; InputError, and nothing is ended, if one of them is not ours."""
    if not cfg.ids:
        raise InputError("name the instances to end, for example i-0123456789abcdef0")
    for name in cfg.ids:
        if not re.fullmatch(r"i-[0-9a-f]{8,17}", name):
            raise InputError(f"{name}: is not an instance id")
    ec2 = session.client("ec2")
    found = ec2.describe_instances(InstanceIds=list(cfg.ids))["Reservations"]
    for host in (host for part in found for host in part["Instances"]):
        if TAG not in {tag["Key"] for tag in host.get("Tags", ())}:
            raise InputError(
                f"{host['InstanceId']}: has no tag {TAG}, so it was not started here; nothing was "
                "ended (the AWS command line can)"
            )
    ec2.terminate_instances(InstanceIds=list(cfg.ids))
    print(f"ending {', '.join(cfg.ids)}")


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def run(cfg: Launch | Terminate) -> None:
    """Do it; what AWS refuses becomes one line with its remedy.

    Raises:
        InputError: a bad option, no boto3, no credentials, or AWS's refusal.
    """
    try:
        import boto3
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            NoCredentialsError,
            NoRegionError,
        )
    except ImportError as error:
        raise InputError("boto3 is not installed; run: pip install -e '.[ec2]'") from error
    try:
        session = boto3.Session(region_name=cfg.region)
        if isinstance(cfg, Launch):
            launch(cfg, session, ClientError)
        else:
            terminate(cfg, session)
    except NoRegionError as error:
        raise InputError("no region; give --region, or run: aws configure") from error
    except NoCredentialsError as error:
        raise InputError("no AWS credentials; run: aws configure (or aws sso login)") from error
    except ClientError as error:
        remedy = REMEDIES.get(_code(error), "see the message of AWS")
        raise InputError(f"{error}: {remedy}") from error
    except BotoCoreError as error:
        raise InputError(f"AWS could not be asked: {error}") from error


def main(argv: list[str] | None = None) -> int:
    """The command line; bad input becomes one line and status 2."""
    try:
        launches = Annotated[Launch, tyro.conf.subcommand("launch")]
        terminates = Annotated[Terminate, tyro.conf.subcommand("terminate")]
        run(tyro.cli(launches | terminates, args=argv, prog="containers/ec2/launch.py"))
    except InputError as message:
        print(f"error: {message}", file=sys.stderr)
        return EXIT_STATUS[InputError]
    return 0


if __name__ == "__main__":
    sys.exit(main())
