"""Results in Google Cloud Storage, through google-cloud-storage.

The service deletes nothing by itself unless the bucket has a lifecycle rule; the daily clean-up does.  It tells nobody
of changes: clients that wait look again.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, in_parallel, missing_package
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import parse_url

try:
    from google.api_core import exceptions as errors
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.cloud import storage
    from requests.exceptions import RequestException
except ImportError as exc:
    raise missing_package("Google Cloud Storage", "google-cloud-storage", "gcs") from exc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions

#: The client keeps so many connections.
_THREADS: Final = 10


class GCSDriver(Driver):
    """Objects of a bucket.

    Args:
        project: Its project; None is the one of the credentials.
        bucket: Its name; it must exist.
        base_path: Folder of the objects, or nothing.
        options: Deadlines.
        threads: Requests at a time of one process.
    """

    name = "gs"
    expires = False
    longest_pause = 1.0

    def __init__(
        self, project: str | None, bucket: str, base_path: str, options: BackendOptions, *, threads: int
    ) -> None:
        self.url = f"gs://{bucket}/{base_path}"
        self._bucket_name = bucket
        self._base_path = f"{base_path}/" if base_path else ""
        self._threads = min(threads, _THREADS)
        # Repeating is the worker's business, and a deadline is a deadline.
        self._limits = {"timeout": (options.connect_timeout, options.timeout), "retry": None}
        self._client: PerProcess[Any] = PerProcess(
            lambda: storage.Client(project=project), lambda client: client.close()
        )

    def _blob(self, key: str) -> Any:
        return self._client.get().bucket(self._bucket_name).blob(self._base_path + key)

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        self._client.get()
        found = zip(keys, in_parallel(self._read, keys, self._threads), strict=True)
        return {key: stored for key, stored in found if stored is not None}

    def _read(self, key: str) -> Stored | None:
        try:
            data = self._blob(key).download_as_bytes(**self._limits)
        except errors.NotFound:
            return None
        # The generation would take another request: it is asked for when something is to be replaced.
        return Stored(data, data)

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        generation: int | None = None
        if expecting is ABSENT:
            generation = 0
        elif expecting is not ANY:
            generation = self._generation_of(entry.key, expecting)
            if generation is None:
                return False
        try:
            self._blob(entry.key).upload_from_string(
                entry.data, "application/octet-stream", if_generation_match=generation, **self._limits
            )
        except errors.PreconditionFailed:
            return False
        return True

    def _generation_of(self, key: str, data: bytes) -> int | None:
        """The generation that holds this data, or None if something else is there."""
        blob = self._blob(key)
        try:
            blob.reload(**self._limits)
            generation = blob.generation
            there = blob.download_as_bytes(if_generation_match=generation, **self._limits)
        except (errors.NotFound, errors.PreconditionFailed):
            return None
        return generation if there == data else None

    def write_many(self, entries: Sequence[Entry]) -> None:
        self._client.get()
        for _ in in_parallel(self.write, entries, self._threads):
            continue

    def create_many(self, entries: Sequence[Entry]) -> None:
        self._client.get()
        for _ in in_parallel(lambda entry: self.write(entry, ABSENT), entries, self._threads):
            continue

    def delete(self, keys: Sequence[str]) -> None:
        self._client.get()
        for _ in in_parallel(lambda key: self._delete(self._blob(key)), keys, self._threads):
            continue

    def _delete(self, blob: Any) -> None:
        try:
            blob.delete(**self._limits)
        except errors.NotFound:
            return

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        now, removed = datetime.now(UTC), 0
        client = self._client.get()
        for prefix, seconds in lifetimes.items():
            before = now - timedelta(seconds=seconds)
            for page in client.list_blobs(self._bucket_name, prefix=self._base_path + prefix, **self._limits).pages:
                old = [blob for blob in page if blob.updated <= before]
                for _ in in_parallel(self._delete, old, self._threads):
                    removed += 1
        return removed

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except DefaultCredentialsError as exc:
            raise SessionRefused(f"{self.url}: no credentials; set GOOGLE_APPLICATION_CREDENTIALS: {exc}") from exc
        except (errors.Forbidden, errors.Unauthorized, errors.NotFound, GoogleAuthError) as exc:
            raise SessionRefused(f"{self.url} refused: {exc}") from exc
        except (errors.GoogleAPICallError, RequestException) as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc}") from exc

    def close(self) -> None:
        self._client.close()


def open_driver(url: str, options: BackendOptions) -> GCSDriver:
    """``gs://bucket/folder?gcs_project=project``, or ``gs`` and the settings ``gcs_bucket`` and so on."""
    parts, settings = parse_url(url if "://" in url else f"{url}://"), options.settings
    bucket = parts.host or settings.get("gcs_bucket")
    if not bucket:
        raise ImproperlyConfigured("result_backend is 'gs', but no bucket is named: gs://bucket/folder, or gcs_bucket")
    if _given(parts.query, settings, "ttl", "gcs_ttl") not in (None, "", "0", 0, 0.0):
        raise ImproperlyConfigured(
            "gcs_ttl is not supported: celeriac.backend_cleanup deletes results after result_expires; unset it"
        )
    project = _given(parts.query, settings, "gcs_project", "gcs_project")
    base_path = (parts.path or str(settings.get("gcs_base_path") or "")).strip("/")
    threads = int(settings.get("gcs_threadpool_maxsize") or _THREADS)
    return GCSDriver(project, str(bucket), base_path, options, threads=threads)


def _given(query: Mapping[str, str], settings: Mapping[str, Any], parameter: str, setting: str) -> Any:
    return query.get(parameter, settings.get(setting))
