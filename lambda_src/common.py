"""Code that both Lambdas use. It is part of the archive of each."""

from __future__ import annotations

import functools
import json

import boto3


@functools.cache
def client(service):
    """Return the boto3 client of a service, created once per process."""
    return boto3.client(service)


def printable(text):
    """Escape the unprintable characters of a text, so that a key with a line break cannot fake a line of a notice."""
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character):
    """Return the escape sequence that Python and bash's $'...' both read as this character."""
    number = ord(character)
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or (
        f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"
    )


def log(context, message, **details):
    """Print one line of JSON, with the id of the request it belongs to. CloudWatch keeps it as one log event."""
    request = getattr(context, "aws_request_id", None)
    print(json.dumps({"message": message, "request_id": request, **details}, default=str))
