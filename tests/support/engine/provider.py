"""A Pulumi provider for rehearsals: the engine calls it to create, update and delete AWS resources, without any effect.

If the environment variable REHEARSAL_FAIL is a type, such as aws:rds/instance:Instance, creating that type fails; with
a stack before it, such as anna=aws:rds/instance:Instance, only in that stack. REHEARSAL_HANG is the same for creating
that never ends. If REHEARSAL_CLOUD is a folder, what is created is kept there, as `cloud.py` describes. If
REHEARSAL_SPEED is a number, creating takes as long as on AWS, so many times faster.
"""

from __future__ import annotations

import concurrent.futures
import os
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.declared import answer_of, computed, id_of, plain
from tests.support.engine.cloud import AlreadyExists, Cloud

_VERSION = version("pulumi-aws")
_SECONDS = {"aws:rds/instance:Instance": 480, "aws:lambda/function:Function": 20, "aws:ec2/natGateway:NatGateway": 100}
"""How long AWS takes to create a resource of a type. Other types take about two seconds."""


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


def python(values: struct_pb2.Struct) -> dict[str, Any]:
    return {name: plain(value) for name, value in values.fields.items()}


def is_chosen(variable: str, urn: str) -> bool:
    """Whether an environment variable names the type of a resource, such as anna=aws:rds/instance:Instance."""
    stack, _, kind = os.environ.get(variable, "").rpartition("=")
    return kind == type_of(urn) and stack in ("", urn.split("::")[0].rpartition(":")[2])


def type_of(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The calls of the provider protocol that the engine makes for this program."""

    region = "eu-central-1"
    cloud = Cloud(Path(os.environ["REHEARSAL_CLOUD"])) if "REHEARSAL_CLOUD" in os.environ else None

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=_VERSION)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema=f'{{"name": "aws", "version": "{_VERSION}"}}')

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        self.region = python(request.args).get("region", self.region)
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = python(request.old_inputs), python(request.news)
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        kinds = provider_pb2.DiffResponse
        return kinds(changes=kinds.DIFF_SOME if changed else kinds.DIFF_NONE, diffs=changed)

    def Create(self, request: Any, context: Any) -> Any:
        kind, name = type_of(request.urn), request.urn.rpartition("::")[2]
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        if is_chosen("REHEARSAL_FAIL", request.urn):
            context.abort(grpc.StatusCode.UNKNOWN, f"rehearsed: {kind} cannot be created")
        if is_chosen("REHEARSAL_HANG", request.urn):
            threading.Event().wait()
        if speed := float(os.environ.get("REHEARSAL_SPEED", 0)):
            time.sleep(_SECONDS.get(kind, 2) / speed)
        made = struct({**computed(kind, name, python(request.properties), self.region)})
        made.MergeFrom(request.properties)
        identifier = id_of(request.urn)
        if self.cloud:
            # Stacks have resources of the same logical names, so the ID contains the stack.
            stack_id = (
                identifier if "/vpc:" in kind or "/subnet:" in kind else f"{identifier}-{request.urn.split('::')[0]}"
            )
            try:
                identifier = self.cloud.create(kind, python(request.properties), stack_id)
            except AlreadyExists as error:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, str(error))
        return provider_pb2.CreateResponse(id=identifier, properties=made)

    def Read(self, request: Any, context: Any) -> Any:
        if self.cloud:
            kind, name = type_of(request.urn), request.urn.rpartition("::")[2]
            found = self.cloud.read(kind, request.id)
            if found is None:
                return provider_pb2.ReadResponse()
            made = struct({**computed(kind, name, found, self.region), **found})
            return provider_pb2.ReadResponse(id=request.id, properties=made, inputs=struct(found))
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: Any, context: Any) -> Any:
        name = request.urn.rpartition("::")[2]
        made = struct({**computed(type_of(request.urn), name, python(request.news), self.region)})
        made.MergeFrom(request.news)
        return provider_pb2.UpdateResponse(properties=made)

    def Delete(self, request: Any, context: Any) -> Any:
        if self.cloud:
            self.cloud.delete(type_of(request.urn), request.id)
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        return provider_pb2.InvokeResponse(**{"return": struct(answer_of(request.tok, self.region))})

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


def main() -> None:
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # the engine reads the port from the first line
    server.wait_for_termination()


if __name__ == "__main__":
    main()
