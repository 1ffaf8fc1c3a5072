"""The client of Cassandra, cassandra-driver: its levels of consistency, and what its errors mean and are called here.

Nothing else imports that package.  It knows no statements and no settings.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import missing_package
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused

try:
    from cassandra import (
        AuthenticationFailed,
        ConsistencyLevel,
        DependencyException,
        DriverException,
        InvalidRequest,
        RequestValidationException,
        Unauthorized,
        auth,
    )
    from cassandra.connection import ConnectionException
    from cassandra.policies import DCAwareRoundRobinPolicy, FallthroughRetryPolicy, TokenAwarePolicy
    from cassandra.protocol import ErrorMessage
except ImportError as exc:
    raise missing_package("Cassandra", "cassandra-driver", "cassandra") from exc
try:
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
except DependencyException as exc:
    raise ImproperlyConfigured(
        f"results in Cassandra need an event loop that cassandra-driver finds none of: {exc}; install one of its "
        f"wheels, or libev before it is built"
    ) from exc

__all__ = ["NOT_BEGUN", "UNDECIDED", "Cluster", "InvalidRequest", "Levels", "auth", "balancing", "translated"]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEFAULT_LEVEL: Final = "LOCAL_QUORUM"
#: After these nobody knows whether a change was made.
UNDECIDED: Final = (DriverException, ConnectionException, ErrorMessage)
#: After these it was not: the server did not begin, or was not asked.
NOT_BEGUN: Final = (RequestValidationException, NoHostAvailable)


class Levels:
    """How many replicas have to answer.

    Args:
        read: Name of the level of reads.
        write: Name of the level of writes.

    Raises:
        ImproperlyConfigured: It is no name of a level, or that of one which cannot be used.
    """

    def __init__(self, read: str | None, write: str | None) -> None:
        self.read = _level("cassandra_read_consistency", read, {"ANY"})
        self.write = _level("cassandra_write_consistency", write, {"SERIAL", "LOCAL_SERIAL"})

    def for_read(self, statement: Any) -> Any:
        """A read of what may be a moment old."""
        statement.consistency_level = self.read
        return statement

    def for_serial_read(self, statement: Any) -> Any:
        """A read after which it is decided what is there."""
        statement.consistency_level = ConsistencyLevel.SERIAL
        return statement

    def for_write(self, statement: Any) -> Any:
        """A write whatever is there."""
        statement.consistency_level = self.write
        return statement

    def for_transaction(self, statement: Any) -> Any:
        """A write on a condition; it is sent once, for its answer says whether it was this very one that was done."""
        statement.consistency_level = self.write
        statement.serial_consistency_level = ConsistencyLevel.SERIAL
        statement.retry_policy = FallthroughRetryPolicy()
        return statement


def _level(setting: str, name: str | None, refused: set[str]) -> int:
    levels: Mapping[str, int] = ConsistencyLevel.name_to_value
    known = sorted(levels.keys() - refused)
    text = str(name or _DEFAULT_LEVEL).upper()
    if text not in known:
        raise ImproperlyConfigured(f"{setting} is {name!r}; what can be used is {', '.join(known)}")
    return levels[text]


def balancing(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The argument that says which servers are asked, where none of these does and no bundle either.

    It is what the package does by itself, and announces to do no longer.
    """
    if arguments.keys() & {"execution_profiles", "load_balancing_policy", "default_retry_policy", "cloud"}:
        return {}
    nearest = TokenAwarePolicy(DCAwareRoundRobinPolicy())
    return {"execution_profiles": {EXEC_PROFILE_DEFAULT: ExecutionProfile(load_balancing_policy=nearest)}}


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Calls errors of the package by our names."""
    try:
        yield
    except (AuthenticationFailed, Unauthorized) as exc:
        raise SessionRefused(f"{url} refused: {exc}") from exc
    except RequestValidationException as exc:
        raise BackendStoreError(f"{url} cannot do what it was asked: {exc}") from exc
    except NoHostAvailable as exc:
        refused = [error for error in exc.errors.values() if isinstance(error, AuthenticationFailed)]
        if refused:
            raise SessionRefused(f"{url} refused: {refused[0]}") from exc
        raise OperationalError(f"{url} cannot be reached: {exc}") from exc
    except OSError as exc:
        raise OperationalError(f"{url} cannot be reached: {exc}") from exc
    except UNDECIDED as exc:
        raise OperationalError(f"{url} failed: {exc}") from exc
