"""Results in Azure Cosmos DB for NoSQL, as items of a container, through azure-cosmos.

Database and container are made when they are missing; the service deletes what has expired.  Clients that wait look
again.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from celeriac.backend.kv.documents import fields_of, value_of
from celeriac.backend.kv.driver import ABSENT, ANY, Entry, ParallelDriver, Stored, in_parallel, missing_package
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import MASK, parse_url, redact

try:
    from azure.core import MatchConditions
    from azure.core.exceptions import AzureError
    from azure.cosmos import CosmosClient, PartitionKey
    from azure.cosmos import exceptions as errors
    from azure.cosmos.documents import ConnectionPolicy
except ImportError as exc:
    raise missing_package("Cosmos DB", "azure-cosmos", "cosmosdbsql") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celeriac.backend.base import BackendOptions

#: The container lets each item say when it expires, and deletes none by itself.
_EACH_ITEM: Final = -1
_STRONG: Final = "Strong"
_TOO_LARGE: Final = 413
#: A request that it cannot do, as with a consistency above the account's; a wrong key; a wrong network.
_REFUSALS: Final = frozenset({400, 401, 403})


class CosmosDBDriver(ParallelDriver):
    """Items of a container.

    Args:
        connect: Makes a client of the account.
        database: Name of the database.
        container: Name of the container.
        is_strong: What one client has written, all others read at once.
        url: Its URL, masked.
    """

    name = "cosmosdbsql"
    longest_pause = 1.0

    def __init__(self, connect: Callable[[], Any], database: str, container: str, *, is_strong: bool, url: str) -> None:
        self.url = url
        self._database_name, self._container_name = database, container
        self._is_strong = is_strong
        self._account: PerProcess[tuple[Any, Any]] = PerProcess(
            lambda: self._open(connect()), lambda account: account[0].close()
        )

    def joins_chords(self) -> bool:
        return self._is_strong

    def _open(self, client: Any) -> tuple[Any, Any]:
        # What is found to exist after all was made by another process after this one had looked.
        try:
            database = client.create_database_if_not_exists(self._database_name)
        except errors.CosmosResourceExistsError:
            database = client.get_database_client(self._database_name)
        try:
            container = database.create_container_if_not_exists(
                self._container_name, partition_key=PartitionKey(path="/id"), default_ttl=_EACH_ITEM
            )
        except errors.CosmosResourceExistsError:
            container = database.get_container_client(self._container_name)
        return client, container

    @property
    def _container(self) -> Any:
        return self._account.get()[1]

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        container = self._container

        def read_one(key: str) -> Stored | None:
            try:
                item = container.read_item(key, partition_key=key)
            except errors.CosmosResourceNotFoundError:
                return None
            return Stored(value_of("value", item), item["_etag"])

        found = zip(keys, in_parallel(read_one, keys, self.requests_at_once), strict=True)
        return {key: stored for key, stored in found if stored is not None}

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        container, item = self._container, _item(entry)
        try:
            if expecting is ABSENT:
                container.create_item(item)
            elif expecting is ANY:
                container.upsert_item(item)
            else:
                container.replace_item(entry.key, item, etag=expecting, match_condition=MatchConditions.IfNotModified)
        except (
            errors.CosmosResourceExistsError,
            errors.CosmosAccessConditionFailedError,
            errors.CosmosResourceNotFoundError,
        ):
            if expecting is ANY:
                raise
            return False
        return True

    def delete(self, keys: Sequence[str]) -> None:
        container = self._container

        def delete_one(key: str) -> None:
            try:
                container.delete_item(key, partition_key=key)
            except errors.CosmosResourceNotFoundError:
                return

        for _ in in_parallel(delete_one, list(dict.fromkeys(keys)), self.requests_at_once):
            continue

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except errors.CosmosHttpResponseError as exc:
            if exc.status_code in _REFUSALS:
                raise SessionRefused(f"{self.url} refused: {exc.message}") from exc
            kind = BackendStoreError if exc.status_code == _TOO_LARGE else OperationalError
            raise kind(f"{self.url} failed: {exc.message}") from exc
        except AzureError as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc.message}") from exc

    def close(self) -> None:
        self._account.close()


def _item(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {"id": entry.key, **fields_of("value", entry.data)}
    if entry.seconds is not None:
        item["ttl"] = max(int(entry.seconds), 1)
    return item


def open_driver(url: str, options: BackendOptions) -> CosmosDBDriver:
    """``cosmosdbsql://:key@account.documents.azure.com``, or ``cosmosdbsql+http://`` for an emulator without TLS."""
    scheme, _, rest = url.partition("://")
    # Keys are given as they are, with slashes.
    userinfo, _, place = rest.rpartition("@")
    parts, settings = parse_url(f"{scheme}://{place}"), options.settings
    key, shown = unquote(userinfo.partition(":")[2]), f"{scheme}://:{MASK}@{place}"
    if not parts.host or not key:
        raise ImproperlyConfigured(
            f"result_backend {redact(url)!r} has no host or no key: cosmosdbsql://:<key>@<account>.documents.azure.com"
        )
    try:
        base64.b64decode(key)
    except binascii.Error as exc:
        raise ImproperlyConfigured(f"result_backend {shown!r}: the key is not one of the account's: {exc}") from None
    protocol, default_port = ("http", 80) if parts.scheme.endswith("+http") else ("https", 443)
    level = str(settings.get("cosmosdbsql_consistency_level") or "Session")
    address = f"{protocol}://{parts.host}:{parts.port or default_port}/"

    def connect() -> Any:
        # The worker tries again what failed, within times of its own.
        return CosmosClient(
            address, key, level, connection_policy=_policy(options), retry_total=0, timeout=options.timeout
        )

    return CosmosDBDriver(
        connect,
        str(settings.get("cosmosdbsql_database_name") or "celerydb"),
        str(settings.get("cosmosdbsql_collection_name") or "celerycol"),
        is_strong=level == _STRONG,
        url=shown,
    )


def _policy(options: BackendOptions) -> ConnectionPolicy:
    """How long to wait, and how often to ask again when the service turned requests away as there were too many."""
    settings, policy = options.settings, ConnectionPolicy()
    attempts, seconds = settings.get("cosmosdbsql_max_retry_attempts"), settings.get("cosmosdbsql_max_retry_wait_time")
    # As arguments of the client, zeros would be passed over.
    policy.RetryOptions = type(policy.RetryOptions)(
        max_retry_attempt_count=9 if attempts is None else attempts,
        max_wait_time_in_seconds=30 if seconds is None else seconds,
    )
    timeouts: dict[str, Any] = {
        "RequestTimeout": min(options.connect_timeout, options.timeout),
        "DBAConnectionTimeout": min(options.connect_timeout, options.timeout),
        "ReadTimeout": options.timeout,
        "DBAReadTimeout": options.timeout,
    }
    vars(policy).update(timeouts)
    return policy
