"""What both Lambdas share; it is packed with each."""

from __future__ import annotations

import functools
import json

import boto3


@functools.cache
def client(service):
    return boto3.client(service)


def log(context, message, **details):
    """One line of JSON, with the id of the request it belongs to."""
    request = getattr(context, "aws_request_id", None)
    print(json.dumps({"message": message, "request_id": request, **details}, ensure_ascii=False, default=str))
