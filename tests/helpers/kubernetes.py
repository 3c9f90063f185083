"""``python -m tests.helpers.kubernetes FILE ...``: manifests against the schemas of their kinds.

The schemas are made from the models of kubeflow-trainer-api, which are generated from Kubernetes'
and JobSet's own OpenAPI definitions. Unlike the models, they refuse a field that is not known.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from kubeflow_trainer_api import models

KINDS = {
    ("jobset.x-k8s.io/v1alpha2", "JobSet"): models.JobsetV1alpha2JobSet,
    ("v1", "PersistentVolumeClaim"): models.IoK8sApiCoreV1PersistentVolumeClaim,
}
QUANTITY = {"anyOf": [{"type": "integer"}, {"pattern": r"^\d+(\.\d+)?([KMGTPE]i?|m)?$"}]}


def schema_of(model: Any) -> dict[str, Any]:
    """JSON schema of a kind, strict about names."""
    found = model.model_json_schema(by_alias=True)
    definitions = found["$defs"]
    # The models wrap what may be a number or a text into classes of their own.
    for name in definitions:
        if name.endswith("Quantity"):
            definitions[name] = QUANTITY
        elif name.endswith("IntOrString"):
            definitions[name] = {"type": ["integer", "string"]}
    for one in (found, *definitions.values()):
        if "properties" in one:
            one.setdefault("additionalProperties", False)
    return found


def problems(document: Any) -> list[str]:
    """A line for each thing that is wrong with a manifest."""
    kind = document.get("apiVersion"), document.get("kind")
    if kind not in KINDS:
        return [f"{kind}: no schema for this kind"]
    errors = Draft202012Validator(schema_of(KINDS[kind])).iter_errors(document)
    return [f"{leaf.json_path}: {leaf.message[:200]}" for e in errors for leaf in _leaves(e)]


def _leaves(error: Any) -> Iterator[Any]:
    """What is wrong at the bottom; an optional field's "is not null" says nothing."""
    inner = [e for e in error.context if e.validator_value != "null"]
    if not inner:
        yield error
    for one in inner:
        yield from _leaves(one)


def documents(path: Path) -> list[Any]:
    """The manifests of a file."""
    return list(yaml.safe_load_all(path.read_text()))


def main() -> int:
    """Print what is wrong; the exit status is 1 if anything is."""
    every = [(path, document) for path in sys.argv[1:] for document in documents(Path(path))]
    found = [f"{path}: {problem}" for path, document in every for problem in problems(document)]
    print("\n".join(found) or "ok -- validation done")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
