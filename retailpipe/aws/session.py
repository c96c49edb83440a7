"""The boto3 session and clients, and the translation of boto3's errors into AwsError with a hint.

boto3 is imported only when it is needed: it is slow to import, and the extra `aws` may not be installed.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from retailpipe.errors import AwsError, UsageError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_INVALID_CREDENTIALS = {
    "InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException", "AuthFailure", "SignatureDoesNotMatch",
    "InvalidToken", "InvalidSignatureException",
}  # fmt: skip
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"}
_WRONG_CLOCK = re.compile("signature expired|not yet current|earlier than|RequestTimeTooSkewed", re.IGNORECASE)
_BUSY = re.compile("Throttl|SlowDown|RequestLimitExceeded|TooManyRequests|RequestTimeout|ThroughputExceeded")
_TRY_LATER = "Try again in a minute."


def _region_variable() -> str | None:
    """Return the value of AWS_REGION, or None. Other AWS tools read this variable, but boto3 does not."""
    return os.environ.get("AWS_REGION") or None


class Aws:
    """boto3 clients for one account and region. Credentials come from boto3's usual chain.

    profile: a profile in ~/.aws/config. region: the AWS region. Default: AWS_REGION, then boto3's chain.
    """

    def __init__(self, profile: str | None = None, region: str | None = None) -> None:
        self._profile = profile
        self._region = region
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._elsewhere: dict[str, Aws] = {}
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """The region. Raises AwsError if none is set."""
        region = self._opened().region_name
        if not region:
            hint = "Set it with --region REGION, AWS_REGION, or `aws configure set region REGION`."
            raise AwsError("no AWS region is set", hint=hint)
        return str(region)

    @property
    def partition(self) -> str:
        """The partition of the region, which begins its ARNs: aws, aws-cn or aws-us-gov. Raises AwsError."""
        with aws_errors(f"find the partition of region {self.region}"):
            return str(self._opened().get_partition_for_region(self.region))

    def in_region(self, region: str) -> Aws:
        """Return clients with the same credentials in another region."""
        if self._opened().region_name == region:
            return self
        with self._lock:
            return self._elsewhere.setdefault(region, Aws(self._profile, region))

    @property
    def profile(self) -> str | None:
        """The profile in ~/.aws/config; None for boto3's default."""
        return self._profile

    def client(self, service: str, *, read_timeout: int = 60, attempts: int = 6) -> Any:
        """Return the boto3 client of a service, created once per set of arguments. Thread-safe, as are the clients.

        read_timeout: seconds to wait for an answer. attempts: the maximum number of attempts per call.
        """
        key = f"{service}, {read_timeout} s, {attempts} times"
        with self._lock:
            if key not in self._clients:
                _check_boto3()
                from botocore.config import Config

                config = Config(
                    connect_timeout=min(10, read_timeout),
                    read_timeout=read_timeout,
                    retries={"mode": "standard", "max_attempts": attempts},
                    max_pool_connections=16,
                    user_agent_extra="retailpipe",
                    # S3 would sign links in an older way in some regions; new buckets refuse those.
                    signature_version="s3v4" if service == "s3" else None,
                )
                session, region = self._opened(), self.region
                with aws_errors(f"use {service}"):
                    self._clients[key] = session.client(service, region_name=region, config=config)
            return self._clients[key]

    def credentials_end(self) -> tuple[bool, datetime | None]:
        """Whether the credentials are temporary, and when they end, in UTC; None if that is not known. Raises AwsError.

        A session token that was copied into environment variables does not say when it ends.
        """
        with aws_errors("read the AWS credentials"):
            credentials = self._opened().get_credentials()
        if credentials is None or not credentials.token:
            return False, None
        # botocore has no public name for the expiry of credentials that it renews.
        ends: datetime | None = getattr(credentials, "_expiry_time", None)
        return True, ends.astimezone(UTC) if ends else None

    def command(self, *words: str, program: str = "aws") -> str:
        """Return a command with the region and profile of these clients, quoted for a shell.

        program: aws for the AWS CLI, or retailpipe.
        """
        profile = ["--profile", self._profile] if self._profile else []
        return shlex.join([program, *words, "--region", self.region, *profile])

    def close(self) -> None:
        """Close the connections of all clients."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        for aws in self._elsewhere.values():
            aws.close()

    def _opened(self) -> Any:
        if self._session is None:
            _check_boto3()
            import boto3
            from botocore.exceptions import ProfileNotFound

            try:
                with aws_errors("read the AWS configuration"):
                    self._session = boto3.Session(
                        profile_name=self._profile, region_name=self._region or _region_variable()
                    )
            except AwsError as error:
                if not isinstance(error.__cause__, ProfileNotFound):
                    raise
                hint = "List the profiles with `aws configure list-profiles`."
                raise AwsError(f"{error.__cause__}", hint=hint) from error
        return self._session


def _check_boto3() -> None:
    """Raise UsageError if boto3, which is an extra, is not installed."""
    if find_spec("boto3") is None:
        hint = "Install it with the extra aws: pip install 'retailpipe[aws]'."
        raise UsageError("an AWS stack needs boto3, which is not installed", hint=hint)


@contextmanager
def aws_errors(doing: str) -> Generator[None]:
    """Translate boto3's errors in the `with` block into AwsError.

    Its `code` is AWS's error code; empty if there was no response.
    doing: what is being done, with the names of the resources; the message is "cannot {doing}: ...".
    """
    _check_boto3()
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _from_response(doing, error) from error
    except (BotoCoreError, Boto3Error) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ClientError):
            raise _from_response(doing, cause) from error
        raise AwsError(f"cannot {doing}: {error}", hint=_hint_of(error), transient=_is_transient(error)) from error
    except ResponseParserError as error:
        hint = "The response may be from a proxy or a login page: open any web page in a browser, then retry."
        raise AwsError(f"cannot {doing}: the response is not from AWS", hint=hint, transient=True) from error
    except ValueError as error:  # botocore rejects an endpoint, a name or an ARN
        raise AwsError(f"cannot {doing}: {error}", hint="Check the AWS variables: `env | grep AWS_`.") from error


def is_credentials_error(error: AwsError) -> bool:
    """Whether an error is about the credentials, so that every other call would fail too.

    An error that has no code and is not transient, such as missing credentials, counts as one.
    """
    return error.code in _EXPIRED | _INVALID_CREDENTIALS or not (error.code or error.transient)


def _from_response(doing: str, error: ClientError) -> AwsError:
    """Translate an error response of AWS into an AwsError."""
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", "")).strip()
    if code in _EXPIRED:
        hint = "Log in again: `aws sso login`, or copy new keys from the lab's page."
        return AwsError(f"cannot {doing}: the AWS session has expired", hint=hint, code=code)
    if _WRONG_CLOCK.search(f"{code} {message}"):
        hint = "Set the clock of this machine. AWS rejects requests whose signature has a wrong time."
        return AwsError(f"cannot {doing}: the clock of this machine is wrong", hint=hint, code=code)
    if code in _INVALID_CREDENTIALS:
        hint = "Check the keys with `aws sts get-caller-identity`, or use another profile: --profile NAME."
        return AwsError(f"cannot {doing}: AWS does not accept these credentials ({code})", hint=hint, code=code)
    if code in _DENIED:
        hint = (
            "Ask your instructor or the account's administrator for this permission (students need the stack's student "
            "policy), or use another profile: --profile NAME. `aws sts get-caller-identity` shows your user."
        )
        return AwsError(f"cannot {doing}: access denied ({error.operation_name})", hint=hint, code=code)
    if _BUSY.search(code):
        return AwsError(
            f"cannot {doing}: AWS is throttling requests ({code})", hint=_TRY_LATER, code=code, transient=True
        )
    reason = f"{code}: {message}" if message and message != code else code
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    is_server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    hint = _TRY_LATER if is_server_error else ""
    return AwsError(f"cannot {doing}: {reason}", hint=hint, code=code, transient=is_server_error)


def _is_transient(error: Exception) -> bool:
    from botocore import exceptions

    return isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError | exceptions.IncompleteReadError)


def _hint_of(error: Exception) -> str:
    from botocore import exceptions

    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return "Log in: `aws configure`, or `aws sso login`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    if isinstance(error, exceptions.SSOError | exceptions.TokenRetrievalError):
        return "Log in again: `aws sso login`."
    if isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError):
        return "Check the network and the region: --region REGION."
    return "Try again. If it fails again, check the network."
