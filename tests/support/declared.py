"""Run the real Pulumi program as the language host does, and record what it declares.

No engine is involved: a mock monitor of Pulumi's SDK answers each registration, with computed values that are different
for each resource. In a preview these values are unknown, as in a preview of the engine.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import os
import runpy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pulumi.runtime
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.proto import resource_pb2

TOP = Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"
CONFIG: dict[str, Any] = {"allowedCidrs": "203.0.113.7/32"}
"""The config with only the required setting."""

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET, _ASSET, _ARCHIVE = (
    "1b47061264138c4ac30d75fd1eb44270",
    "c44067f5952c0a294b673a41bacd8c17",
    "0def7320c3a5731c473e5ecbe6d01bc7",
)


@dataclass(frozen=True)
class Resource:
    """A resource that the program registered.

    inputs: with the property names of Pulumi's protocol (camel case), without the wrappers of secrets.
    """

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    dependencies: frozenset[str]
    protect: bool
    custom: bool
    computed: dict[str, Any] = field(default_factory=dict)
    """The id and the values that AWS would generate, as far as the program uses them; empty in a preview."""

    @property
    def kind(self) -> str:
        """The last part of the type, such as Bucket."""
        return self.type.rpartition(":")[2]


@dataclass
class Declared:
    """The result of one run of the program. messages: what it logged for its user."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Resource]:
        """The resources of a kind, without components."""
        return [resource for resource in self.resources if resource.kind == kind and resource.custom]

    def one(self, kind: str, name: str = "") -> Resource:
        """The only resource of a kind whose name contains `name`. Raises ValueError unless there is exactly one."""
        (found,) = [resource for resource in self.of(kind) if name in resource.name]
        return found

    @property
    def custom(self) -> list[Resource]:
        return [resource for resource in self.resources if resource.custom]


class _MessageHandler(logging.Handler):
    """Records what the program logs for its user."""

    def __init__(self, declared: Declared) -> None:
        super().__init__()
        self._declared = declared

    def emit(self, record: logging.LogRecord) -> None:
        self._declared.messages.append(record.getMessage())


def declare(
    config: Mapping[str, Any] = CONFIG,
    *,
    stack: str = "dev",
    project: str = "retailpipe",
    region: str = "eu-central-1",
    preview: bool = False,
    program: Path = TOP,
) -> Declared:
    """Run a program with a config, as an update or as a preview. Exceptions of the program are not caught."""
    declared = Declared()
    values = {f"{project}:{name}": text if isinstance(text, str) else json.dumps(text) for name, text in config.items()}
    values["aws:region"] = region
    engine = mocks.MockEngine(logging.getLogger("pulumi"))
    handler = _MessageHandler(declared)
    logging.getLogger("pulumi").addHandler(handler)
    logging.getLogger("pulumi").setLevel(logging.INFO)
    settings.configure(
        mocks.MockSettings(
            monitor=_monitor(declared, project, stack, region, preview),
            monitor_features=set(),
            engine=engine,
            project=project,
            stack=stack,
            dry_run=preview,
            organization="organization",
            callbacks=None,
            root_directory=str(program),
        )
    )
    pulumi.runtime.set_all_config(values, [])
    before = Path.cwd()
    os.chdir(program)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(
            pulumi.runtime.run_in_stack(lambda: runpy.run_path(str(program), run_name="__main__") and None)
        )
    finally:
        os.chdir(before)
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
        logging.getLogger("pulumi").removeHandler(handler)
        settings.reset_options()
        with warnings.catch_warnings():  # the SDK does not close the event loops of its threads
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        gc.freeze()  # what is left stays: the next collection need not look at it again
    return declared


def _monitor(declared: Declared, project: str, stack: str, region: str, preview: bool) -> Any:
    class Monitor(mocks.MockMonitor):
        def RegisterResource(self, request: Any) -> Any:
            urn = self.make_urn(request.parent, request.type, request.name)
            if request.type == "pulumi:pulumi:Stack":
                return resource_pb2.RegisterResourceResponse(urn=urn)
            assert urn not in {resource.urn for resource in declared.resources}, f"{urn} is declared twice"
            inputs = {name: plain(value) for name, value in request.object.fields.items()}
            known = request.custom and not preview
            state = computed(request.type, request.name, inputs, region) if known else {}
            id_ = id_of(urn) if known else ""
            declared.resources.append(
                Resource(
                    urn=urn,
                    type=request.type,
                    name=request.name,
                    inputs=inputs,
                    dependencies=frozenset(request.dependencies),
                    protect=request.protect,
                    custom=request.custom,
                    computed={"id": id_, **state} if known else {},
                )
            )
            answer = resource_pb2.RegisterResourceResponse(urn=urn, id=id_)
            answer.object.update({**{name: value for name, value in inputs.items() if is_plain(value)}, **state})
            return answer

        def RegisterResourceOutputs(self, request: Any) -> Any:
            if request.urn.split("::")[2].endswith("pulumi:pulumi:Stack"):
                declared.outputs.update({name: plain(value) for name, value in request.outputs.fields.items()})
            return super().RegisterResourceOutputs(request)

    class Answers(mocks.Mocks):
        def new_resource(self, args: Any) -> Any:
            raise AssertionError(args)

        def call(self, args: Any) -> Any:
            return answer_of(args.token, region)

    return Monitor(Answers())


def answer_of(function: str, region: str) -> dict[str, Any]:
    """The result of a provider function, as AWS would return it."""
    return {
        "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": ACCOUNT, "id": ACCOUNT},
        "aws:index/getRegion:getRegion": {"region": region, "id": region},
        "aws:index/getPartition:getPartition": {"partition": "aws", "id": "aws"},
        "aws:index/getAvailabilityZones:getAvailabilityZones": {
            "names": [region + zone for zone in "abc"],
            "id": region,
        },
    }[function]


def id_of(urn: str) -> str:
    """The ID that AWS would generate for a resource: in AWS's real format if another stack uses it, else made up."""
    kind, name = urn.split("::")[2].rpartition(":")[2], urn.rpartition("::")[2]
    if kind in ("Vpc", "Subnet"):
        return f"{kind.lower()}-{hashlib.sha256(urn.encode()).hexdigest()[:17]}"
    return f"{kind}-{name}-id"


def computed(kind: str, name: str, inputs: Mapping[str, Any], region: str) -> dict[str, Any]:
    """The values that AWS would generate for a resource, as far as the program uses them."""
    _, module, short = kind.split(":")
    state: dict[str, Any] = {"arn": _arn(f"{module.split('/')[0]}:{short}", name, inputs, region)}
    if kind.endswith(":Queue"):
        state["url"] = f"https://sqs.{region}.amazonaws.com/{ACCOUNT}/{inputs['name']}"
    if kind.endswith("rds/instance:Instance"):
        number = hashlib.sha256(inputs["identifier"].encode()).hexdigest()[:8]
        secret = f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:rds!db-{number}"
        state["address"] = f"{inputs['identifier']}.abc.{region}.rds.amazonaws.com"
        state["masterUserSecrets"] = [{"secretArn": secret, "secretStatus": "active", "kmsKeyId": "key"}]
    if kind.endswith(":Eip"):
        state["allocationId"] = "eipalloc-1"
    return state


def _arn(kind: str, name: str, inputs: Mapping[str, Any], region: str) -> str:
    """The ARN of a resource: in AWS's real format if a policy of the program uses it, otherwise made up."""
    here = f"{region}:{ACCOUNT}"
    match kind:
        case "s3:Bucket":
            return f"arn:aws:s3:::{inputs['bucket']}"
        case "sns:Topic":
            return f"arn:aws:sns:{here}:{inputs['name']}"
        case "sqs:Queue":
            return f"arn:aws:sqs:{here}:{inputs['name']}"
        case "lambda:Function":
            return f"arn:aws:lambda:{here}:function:{inputs['name']}"
        case "cloudwatch:EventRule":
            return f"arn:aws:events:{here}:rule/{inputs['name']}"
        case "cloudwatch:LogGroup":
            return f"arn:aws:logs:{here}:log-group:{inputs['name']}"
        case "iam:Role":
            return f"arn:aws:iam::{ACCOUNT}:role/{inputs['name']}"
        case "iam:Policy":
            return f"arn:aws:iam::{ACCOUNT}:policy/{inputs['name']}"
        case _:
            service, short = kind.split(":")
            return f"arn:aws:{service}:{here}:{short}/{name}"


def is_plain(value: Any) -> bool:
    """Whether a value can be returned to the program as it is; an asset cannot."""
    return not (isinstance(value, dict) and _SIGNATURE in value)


def plain(value: Any) -> Any:
    """Convert a value of Pulumi's protocol to Python types. Assets keep their wrapper; secrets lose theirs."""
    match value.WhichOneof("kind"):
        case "struct_value":
            fields = {name: plain(part) for name, part in value.struct_value.fields.items()}
            return fields["value"] if fields.get(_SIGNATURE) == _SECRET else fields
        case "list_value":
            return [plain(part) for part in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number == int(number) else number
        case "null_value":
            return None
        case kind:
            return getattr(value, kind)


def is_unknown(value: Any) -> bool:
    return value == rpc.UNKNOWN
