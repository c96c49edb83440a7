"""What both Lambdas share; it is packed with each."""

from __future__ import annotations

import functools
import json

import boto3


@functools.cache
def client(service):
    return boto3.client(service)


def printable(text):
    """A text without signs that a reader cannot see: a line break in a key would forge a line of a notice."""
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign):
    """A sign as JSON, Python and bash's $'...' write it."""
    number = ord(sign)
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(sign) or (
        f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"
    )


def log(context, message, **details):
    """One line of JSON, with the id of the request it belongs to."""
    request = getattr(context, "aws_request_id", None)
    print(json.dumps({"message": message, "request_id": request, **details}, default=str))
