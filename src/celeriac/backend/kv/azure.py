"""Results in Azure Blob Storage, through azure-storage-blob.

The service deletes nothing by itself unless the account has a rule; the daily clean-up does.  It tells nobody of
changes: clients that wait look again.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import ABSENT, ANY, Entry, ParallelDriver, Stored, in_parallel, missing_package
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess

try:
    from azure.core import MatchConditions
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        ResourceExistsError,
        ResourceModifiedError,
        ResourceNotFoundError,
    )
    from azure.storage.blob import BlobServiceClient
except ImportError as exc:
    raise missing_package("Azure Blob Storage", "azure-storage-blob", "azureblockblob") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions

_SCHEME: Final = "azureblockblob://"
_SECRETS: Final = re.compile(r"(AccountKey|SharedAccessSignature)=[^;]*", re.IGNORECASE)


class AzureDriver(ParallelDriver):
    """Blobs of a container, which is made when it is missing.

    Args:
        connect: Makes a client of the account.
        container: Its name.
        base_path: Folder of the blobs, or text put in front of their names.
        url: Its URL, masked.
    """

    name = "azureblockblob"
    expires = False
    longest_pause = 1.0

    def __init__(self, connect: Callable[[], Any], container: str, base_path: str, url: str) -> None:
        self.url = url
        self._container_name, self._base_path = container, base_path
        self._account: PerProcess[Any] = PerProcess(connect, lambda account: account.close())
        self._is_made = False

    @property
    def _container(self) -> Any:
        container = self._account.get().get_container_client(self._container_name)
        if not self._is_made:
            try:
                container.create_container()
            except ResourceExistsError:
                pass
            self._is_made = True
        return container

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        container = self._container

        def read_one(key: str) -> Stored | None:
            try:
                blob = container.download_blob(self._base_path + key)
                return Stored(blob.readall(), blob.properties.etag)
            except ResourceNotFoundError:
                return None

        found = zip(keys, in_parallel(read_one, keys, self.requests_at_once), strict=True)
        return {key: stored for key, stored in found if stored is not None}

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        condition: dict[str, Any] = {"overwrite": True}
        if expecting is ABSENT:
            condition = {"overwrite": False}
        elif expecting is not ANY:
            condition |= {"etag": expecting, "match_condition": MatchConditions.IfNotModified}
        try:
            self._container.upload_blob(self._base_path + entry.key, entry.data, **condition)
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
            if expecting is ANY:
                raise
            return False
        return True

    def delete(self, keys: Sequence[str]) -> None:
        self._delete_blobs([self._base_path + key for key in keys])

    def _delete_blobs(self, names: Sequence[str]) -> None:
        container = self._container

        def delete_one(name: str) -> None:
            try:
                container.delete_blob(name)
            except ResourceNotFoundError:
                return

        for _ in in_parallel(delete_one, names, self.requests_at_once):
            continue

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        now, removed = datetime.now(UTC), 0
        for prefix, seconds in lifetimes.items():
            before = now - timedelta(seconds=seconds)
            for page in self._container.list_blobs(name_starts_with=self._base_path + prefix).by_page():
                old = [blob.name for blob in page if blob.last_modified <= before]
                self._delete_blobs(old)
                removed += len(old)
        return removed

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except ClientAuthenticationError as exc:
            raise SessionRefused(f"{self.url} refused: {exc.message}") from exc
        except AzureError as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc.message}") from exc

    def close(self) -> None:
        self._account.close()


def open_driver(url: str, options: BackendOptions) -> AzureDriver:
    """``azureblockblob://<connection string>``, or ``azureblockblob://DefaultAzureCredential@<account URL>``."""
    given, settings = url.removeprefix(_SCHEME), options.settings
    if not given or "://" not in url:
        raise ImproperlyConfigured(
            "result_backend is 'azureblockblob', but names no account: azureblockblob://<connection string>"
        )
    arguments: dict[str, Any] = {
        "connection_timeout": min(settings.get("azureblockblob_connection_timeout") or 20, options.connect_timeout),
        "read_timeout": min(settings.get("azureblockblob_read_timeout") or 120, options.timeout),
        # A worker repeats what failed by itself, and a deadline is a deadline.
        "retry_total": 0,
    }
    shown = _SCHEME + _SECRETS.sub(r"\1=**", given)
    base_path = str(settings.get("azureblockblob_base_path") or "")
    container = str(settings.get("azureblockblob_container_name") or "celery")
    return AzureDriver(lambda: _account(given, arguments, shown), container, base_path, shown)


def _account(given: str, arguments: dict[str, Any], shown: str) -> Any:
    credential, at, address = given.partition("@")
    try:
        if at and credential in ("DefaultAzureCredential", "ManagedIdentityCredential"):
            return BlobServiceClient(address, credential=_identity(credential), **arguments)
        return BlobServiceClient.from_connection_string(given, **arguments)
    except ValueError as exc:
        raise ImproperlyConfigured(f"result_backend {shown!r} is no connection string: {exc}") from exc


def _identity(name: str) -> Any:
    try:
        from azure import identity
    except ImportError as exc:
        raise missing_package("Azure Blob Storage by identity", "azure-identity", "azureblockblob") from exc
    return getattr(identity, name)()
