"""``run.json`` and ``summary.json``: what they must hold, and when a run is finished."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError
from jaxdl.files import schema
from jaxdl.files.atomic import plain, read_json, write_json

RECORD: schema.Schema = {
    "format?": int,  # missing in runs of 0.1
    "id?": str,  # the steps of the run have it too
    "experiment?": str,
    "config": dict,
    "classes?": ([str], None),
    "versions?": {str: str},
    "device?": dict,
    "git?": dict,
    "started?": str,
    "block?": int,  # words that change word2vec's tables together
    "argv?": [str],
    "finished?": {"at": str, "summary": str},  # written last
}
SUMMARY: schema.Schema = {str: dict, "warnings?": [str]}
_SUMMARY_REMEDY = "run the command that trained it again: it writes the file again"


def read_record(out: Path) -> dict[str, Any]:
    """The run.json of a run.

    Raises:
        InputError: it is missing or damaged.
    """
    remedy = "restore it from a copy, name another folder with --out, or use --overwrite"
    return schema.read(out / "run.json", RECORD, remedy)


def read_summary(out: Path) -> dict[str, Any]:
    """The summary.json of a run.

    Raises:
        InputError: it is missing or damaged.
    """
    return schema.read(out / "summary.json", SUMMARY, _SUMMARY_REMEDY)


def home_of(folder: Path) -> Path | None:
    """The run folder that a folder is, or is a stage of; None without a record."""
    homes = (home for home in (folder, folder.parent) if (home / "run.json").is_file())
    return next(homes, None)


def run_id(folder: Path) -> str | None:
    """The id of the run that a folder belongs to; None if none tells."""
    home = home_of(folder)
    try:
        return None if home is None else read_record(home).get("id")
    except InputError:  # not a run of ours: a command has read it already
        return None


def finish(out: Path) -> None:
    """Note in run.json that the last of the run's files is whole."""
    record = read_json(out / "run.json")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record["finished"] = {"at": now, "summary": _sha256(out / "summary.json")}
    write_json(out / "run.json", record)


def lengthen(out: Path, epochs: Any, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a run, written again if it is to train longer: it is not finished any more."""
    if record["config"]["epochs"] == plain(epochs):
        return record
    config = record["config"] | {"epochs": plain(epochs)}
    record = {key: value for key, value in record.items() if key != "finished"}
    write_json(out / "run.json", record | {"config": config})
    return record | {"config": config}


def finished_summary(
    out: Path, record: dict[str, Any], keys: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """The summary of a finished run, with these keys; or nothing, and why a part is made again."""
    if "finished" not in record:
        return {}, ""
    for name in ("summary.json", "report.html"):
        if not (out / name).is_file():
            return {}, f"{out / name}: is missing, and made again"
    if _sha256(out / "summary.json") != record["finished"]["summary"]:
        return {}, f"{out / 'summary.json'}: is not what the run wrote, and made again"
    summary = read_summary(out)
    return (summary if all(key in summary for key in keys) else {}), ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
