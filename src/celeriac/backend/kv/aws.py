"""What the drivers of AWS services share: clients with deadlines, and what their errors mean."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import PerProcess, missing_package
from celeriac.exceptions import BackendStoreError, OperationalError, SessionRefused

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
except ImportError as exc:
    raise missing_package("AWS", "boto3", "s3") from exc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.backend.base import BackendOptions

__all__ = ["ClientError", "client_of", "code_of", "translated"]

#: Requests at a time of one process.
CONNECTIONS: Final = 10
_REFUSALS: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "NoSuchBucket",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "ResourceNotFoundException",
    }
)
_TOO_LARGE: Final = frozenset({"EntityTooLarge", "ValidationException"})


def client_of(service: str, options: BackendOptions, **arguments: Any) -> PerProcess[Any]:
    """A client for each process.

    Args:
        service: ``"s3"`` or ``"dynamodb"``.
        options: Deadlines.
        **arguments: Arguments of the client; those that are None are left to boto3's own configuration.
    """
    config = Config(
        connect_timeout=min(options.connect_timeout, options.timeout / 2),
        # Twice, so that a throttled request gets another chance within the deadline.
        read_timeout=options.timeout / 2,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
    )
    given = {name: value for name, value in arguments.items() if value is not None}

    def make() -> Any:
        session, lock = _SESSION.get()
        with lock:
            return session.client(service, config=config, **given)

    return PerProcess(make, lambda client: client.close())


#: What makes clients, and keeps the descriptions of services, which take long to read. It serves one thread at a time.
_SESSION: Final = PerProcess(lambda: (boto3.session.Session(), threading.Lock()), lambda session: None)


def code_of(error: ClientError) -> str:
    """The code of an error, such as ``NoSuchKey``."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn errors of boto3 into ours."""
    try:
        yield
    except ClientError as exc:
        code = code_of(exc)
        if code in _REFUSALS:
            raise SessionRefused(f"{url} refused: {exc}") from exc
        if code in _TOO_LARGE:
            raise BackendStoreError(f"{url} did not keep a result: {exc}") from exc
        raise OperationalError(f"{url} failed: {exc}") from exc
    except (NoCredentialsError, PartialCredentialsError) as exc:
        raise SessionRefused(
            f"{url}: {exc}; give an access key and its secret in the settings, in AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, or in a profile"
        ) from exc
    except BotoCoreError as exc:
        raise OperationalError(f"{url} cannot be reached: {exc}") from exc
