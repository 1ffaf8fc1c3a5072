"""Results in S3, or in a service with its interface, through boto3.

The service deletes nothing by itself unless the bucket has a lifecycle rule; the daily clean-up does.  It tells nobody
of changes: clients that wait look again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import ABSENT, ANY, Entry, ParallelDriver, Stored, in_parallel, pages
from celeriac.drivers.aws import CONNECTIONS, ClientError, client_of, code_of, translated
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from celeriac.backend.base import BackendOptions
    from celeriac.utils.per_process import PerProcess

#: Objects in one request that deletes, the most the service takes.
_DELETED_AT_ONCE: Final = 1000
#: What a conditional write answers when its condition does not hold; 409 is another write at the same time.
_CHANGED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})


class S3Driver(ParallelDriver):
    """Objects of a bucket.

    Args:
        client: Of boto3.
        bucket: It must exist.
        base_path: Text put in front of every key, as it is.
    """

    name = "s3"
    expires = False
    longest_pause = 1.0
    requests_at_once = CONNECTIONS

    def __init__(self, client: PerProcess[Any], bucket: str, base_path: str) -> None:
        self.url = f"s3://{bucket}/{base_path}"
        self._client, self._bucket, self._base_path = client, bucket, base_path

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        found = zip(keys, in_parallel(self._read, keys, CONNECTIONS), strict=True)
        return {key: stored for key, stored in found if stored is not None}

    def _read(self, key: str) -> Stored | None:
        try:
            answer = self._client.get().get_object(Bucket=self._bucket, Key=self._base_path + key)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        return Stored(answer["Body"].read(), answer["ETag"])

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        condition: dict[str, str] = {}
        if expecting is ABSENT:
            condition = {"IfNoneMatch": "*"}
        elif expecting is not ANY:
            condition = {"IfMatch": expecting}
        key = self._base_path + entry.key
        try:
            self._client.get().put_object(Bucket=self._bucket, Key=key, Body=entry.data, **condition)
        except ClientError as error:
            if condition and code_of(error) in _CHANGED:
                return False
            raise
        return True

    def delete(self, keys: Sequence[str]) -> None:
        for page in pages(keys, _DELETED_AT_ONCE):
            self._delete_objects([self._base_path + key for key in page])

    def _delete_objects(self, names: Sequence[str]) -> None:
        objects = [{"Key": name} for name in names]
        self._client.get().delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        now, removed = datetime.now(UTC), 0
        lists = self._client.get().get_paginator("list_objects_v2")
        for prefix, seconds in lifetimes.items():
            before = now - timedelta(seconds=seconds)
            for answer in lists.paginate(Bucket=self._bucket, Prefix=self._base_path + prefix):
                old = [found["Key"] for found in answer.get("Contents", ()) if found["LastModified"] <= before]
                if old:
                    self._delete_objects(old)
                removed += len(old)
        return removed

    def errors(self) -> AbstractContextManager[None]:
        return translated(self.url)

    def close(self) -> None:
        self._client.close()


def open_driver(url: str, options: BackendOptions) -> S3Driver:
    """``s3`` with the settings ``s3_bucket`` and so on, or ``s3://bucket/base-path?endpoint_url=…&region=…``."""
    parts, settings = parse_url(url if "://" in url else f"{url}://"), options.settings
    bucket = parts.host or settings.get("s3_bucket")
    if not bucket:
        raise ImproperlyConfigured("result_backend is 's3', but no bucket is named: set s3_bucket")
    client = client_of(
        "s3",
        connect_timeout=options.connect_timeout,
        timeout=options.timeout,
        aws_access_key_id=settings.get("s3_access_key_id"),
        aws_secret_access_key=settings.get("s3_secret_access_key"),
        region_name=parts.query.get("region") or settings.get("s3_region"),
        endpoint_url=parts.query.get("endpoint_url") or settings.get("s3_endpoint_url"),
    )
    return S3Driver(client, str(bucket), parts.path or str(settings.get("s3_base_path") or ""))
