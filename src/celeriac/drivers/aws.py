"""What the drivers of AWS services share: clients with deadlines, and what their errors mean."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
except ImportError as exc:
    raise ImproperlyConfigured(
        "services of AWS need the package boto3, in the client and in the worker: pip install 'celeriac[s3]', "
        "'celeriac[dynamodb]' or 'celeriac[sqs]'"
    ) from exc

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def client_of(
    service: str, *, connect_timeout: float, timeout: float, attempts: int = 2, settings: Any = None, **arguments: Any
) -> PerProcess[Any]:
    """A client for each process.

    Args:
        service: Its name, as ``"s3"``.
        connect_timeout: Seconds to connect.
        timeout: Seconds for a request with all its attempts.
        attempts: How often a request is tried, so that a throttled one gets another chance within the time.
        settings: Further arguments of botocore's ``Config``, by name.
        **arguments: Arguments of the client; those that are None are left to boto3's own configuration.
    """
    config = Config(
        connect_timeout=min(connect_timeout, timeout / attempts),
        read_timeout=timeout / attempts,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
    ).merge(Config(**(settings or {})))
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
