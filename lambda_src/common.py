"""Code that both Lambdas use. It is part of the archive of each."""

from __future__ import annotations

import functools
import json

import boto3


@functools.cache
def client(service):
    """Return the boto3 client of a service, created once per process."""
    return boto3.client(service)


def log(context, message, **details):
    """Print one line of JSON, with the id of the request it belongs to. CloudWatch keeps it as one log event."""
    request = getattr(context, "aws_request_id", None)
    print(json.dumps({"message": message, "request_id": request, **details}, default=str))
