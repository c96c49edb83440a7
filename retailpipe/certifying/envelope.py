"""Signed envelopes (DSSE v1): a payload, its type, and one signature over both.

An envelope may come from anybody. Its signature is verified before its payload is parsed; JSON with repeated keys, of
another form or of an unusual size is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, cast

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 1 << 20
"""A certificate has about 10 kB."""
_MOST_DEPTH = 32


class NotAnEnvelope(ValueError):
    """A text is not an envelope, or not one of a certificate; the text of the error says why."""


class Envelope:
    """An envelope whose signature is not verified yet. keyid: which key signed it, according to itself."""

    def __init__(self, payload: bytes, keyid: str, signature: bytes) -> None:
        self._payload = payload
        self._signature = signature
        self.keyid = keyid

    def opened(self, is_signed: Callable[[bytes, bytes], bool]) -> dict[str, Any]:
        """Verify the signature, then return the payload.

        is_signed: whether a signature of a message is right.
        Raises ValueError if the signature is wrong or the payload is not a JSON object.
        """
        if not is_signed(signed_bytes(self._payload), self._signature):
            raise NotAnEnvelope("its signature is wrong: it was changed, or another key signed it")
        return json_object(self._payload, "its payload")


def signed_bytes(payload: bytes) -> bytes:
    """What is signed: the payload with its type and both lengths, so that neither can pass for something else."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sealed(payload: bytes, keyid: str, signature: bytes) -> bytes:
    """The envelope of a payload as JSON."""
    signatures = [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}]
    document = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": signatures,
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def read_envelope(content: bytes) -> Envelope:
    """Read an envelope. Raises ValueError."""
    if len(content) > MAX_BYTES:
        raise NotAnEnvelope(f"it has more than {MAX_BYTES:,} bytes")
    document = json_object(content, "it")
    if set(document) != {"payloadType", "payload", "signatures"}:
        raise NotAnEnvelope("it is not a DSSE envelope: it must have payloadType, payload and signatures, and no more")
    if document["payloadType"] != PAYLOAD_TYPE:
        raise NotAnEnvelope(f"its payloadType is {_brief(document['payloadType'])}, not {PAYLOAD_TYPE}")
    signatures = document["signatures"]
    signature: Any = cast("list[object]", signatures)[0] if isinstance(signatures, list) and signatures else None
    if len(cast("list[object]", signatures) if isinstance(signatures, list) else "") != 1:
        raise NotAnEnvelope("it must have exactly one signature")
    if not isinstance(signature, dict) or set(cast("dict[str, object]", signature)) != {"keyid", "sig"}:
        raise NotAnEnvelope("its signature must have keyid and sig")
    found = cast("dict[str, object]", signature)
    if not isinstance(found["keyid"], str):
        raise NotAnEnvelope("the keyid of its signature is not a text")
    return Envelope(_decoded(document["payload"], "payload"), found["keyid"], _decoded(found["sig"], "signature"))


def json_object(content: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON object strictly: UTF-8, no repeated keys, no NaN, no deep nesting. Raises ValueError.

    name: the content in messages.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise NotAnEnvelope(f"{name} has the same key twice in an object")
        return found

    def constant(text: str) -> None:
        raise NotAnEnvelope(f"{name} has the number {text}")

    try:
        document: Any = json.loads(content.decode(), object_pairs_hook=unique, parse_constant=constant)
    except NotAnEnvelope:
        raise
    except (ValueError, RecursionError) as error:
        raise NotAnEnvelope(f"{name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise NotAnEnvelope(f"{name} is not a JSON object")
    found = cast("dict[str, Any]", document)
    if _depth(found) > _MOST_DEPTH:
        raise NotAnEnvelope(f"{name} is nested too deeply")
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += cast("dict[str, Any]", each).values()
            elif isinstance(each, list):
                below += cast("list[Any]", each)
        level = below
    return depth


def _decoded(value: object, name: str) -> bytes:
    if not isinstance(value, str):
        raise NotAnEnvelope(f"its {name} is not a text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotAnEnvelope(f"its {name} is not base64") from error


def _brief(value: object) -> str:
    return repr(value)[:60]
