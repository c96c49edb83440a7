"""Convert what the Pulumi program declares into a Terraform program, to check it with Terraform's real AWS provider.

The result has the same resources, values and dependencies. Most Terraform names follow from Pulumi's names by a few
rules; the exceptions are listed here.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.declared import Declared, Resource

PREFIXES = {"ec2": "aws", "rds": "aws_db"}
"""The prefix of Terraform's resource types for a module, if it is not aws_<module>."""

RENAMED = {
    ("aws_cloudwatch_metric_alarm", "name"): "alarm_name",
    ("aws_lambda_function", "name"): "function_name",
    ("aws_lambda_function", "code"): "filename",
    ("aws_lambda_permission", "function"): "function_name",
    ("aws_sns_topic_subscription", "topic"): "topic_arn",
}
"""Names of properties that do not follow the rules, by resource type."""

BLOCKS = {
    "costFilters": "cost_filter",
    "lambdaFunctions": "lambda_function",
    "notifications": "notification",
    "parameters": "parameter",
    "rules": "rule",
    "settings": "setting",
    "volumes": "volume",
}
"""Lists of blocks: Pulumi's name is plural, Terraform's is singular."""

MAPS_WITH_USER_KEYS = ("tags", "variables", "dimensions")
"""Maps with keys that the user chooses, so they are not converted."""


def rewrite(declared: Declared, folder: Path, *, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the program in Terraform's JSON syntax, without providers. Write the Lambdas' archives to the folder.

    leave_out: kinds of resources to leave out, such as BucketPolicy.
    """
    kept = [resource for resource in declared.custom if resource.kind not in leave_out]
    addresses = {resource.urn: address(resource) for resource in kept}
    references = _References(kept)
    resources: dict[str, dict[str, Any]] = {}
    for resource in kept:
        kind, name = address(resource).split(".", 1)
        body = {
            _name(kind, key): _code(value, folder / f"{name}.zip") if key == "code" else _value(value, key, references)
            for key, value in resource.inputs.items()
        }
        if after := sorted(addresses[urn] for urn in resource.dependencies if urn in addresses):
            body["depends_on"] = after
        resources.setdefault(kind, {})[name] = body
    outputs = {name: {"value": _value(value, name, references)} for name, value in declared.outputs.items()}
    return {"resource": resources, "output": outputs}


def address(resource: Resource) -> str:
    """The address of a resource in Terraform, such as aws_s3_bucket.pipeline-storage-bucket."""
    module = resource.type.split(":")[1].split("/")[0]
    prefix = PREFIXES.get(module, f"aws_{module}")
    return f"{prefix}_{_snake(resource.kind)}.{re.sub(r'[^A-Za-z0-9_-]', '_', resource.name)}"


class _References:
    """Replaces generated values (such as ARNs) of one resource in the values of others by references."""

    def __init__(self, resources: list[Resource]) -> None:
        self._expressions = {
            value: f"{address(resource)}{path}"
            for resource in resources
            for path, value in _leaves(resource.computed)
            if isinstance(value, str)
        }
        # Longest first: one value may be the beginning of another.
        longest_first = sorted(self._expressions, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)))

    def insert_into(self, text: str) -> str:
        escaped = text.replace("${", "$${").replace("%{", "%%{")
        return self._known.sub(lambda found: "${" + self._expressions[found[0]] + "}", escaped)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{_snake(key)}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            # A list property of Pulumi is a block in Terraform, with a singular name.
            yield from _leaves(part, f"{path.removesuffix('s')}[{number}]")
    else:
        yield path, value


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _name(kind: str, key: str) -> str:
    return RENAMED.get((kind, key)) or BLOCKS.get(key) or _snake(key)


def _value(value: Any, key: str, references: _References) -> Any:
    match value:
        case str():
            return references.insert_into(value)
        case list():
            return [_value(part, key, references) for part in value]
        case dict():
            return {
                name if key in MAPS_WITH_USER_KEYS else BLOCKS.get(name, _snake(name)): _value(part, name, references)
                for name, part in value.items()
            }
        case _:
            return value


def _code(archive: dict[str, Any], path: Path) -> str:
    """Write the archive of a Lambda as Pulumi does, and return its path."""
    with zipfile.ZipFile(path, "w") as file:
        for name, asset in sorted(archive["assets"].items()):
            file.write(asset["path"], name)
    return str(path)
