"""Results in a DynamoDB table, in Celery's attributes, through boto3.

The table is made when it is missing. What has expired is not read any more, whenever the service deletes it.  It tells
nobody of changes: clients that wait look again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, pages
from celeriac.drivers.aws import ClientError, client_of, code_of, translated
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.utils.url import parse_url, redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from celeriac.backend.base import BackendOptions
    from celeriac.utils.url import ServerURL

#: Items in one request, the most the service takes.
_READ_AT_ONCE: Final = 100
_WRITTEN_AT_ONCE: Final = 25
#: Seconds between attempts at what the service left undone: from, up to.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: Seconds until a new table has to be there, and between two looks.
_TABLE_TIMEOUT: Final = 60.0
_TABLE_PAUSE: Final = 0.2
#: ``result`` and ``timestamp`` are reserved words, in some versions of the service at least.
_NAMES: Final = {"#id": "id", "#result": "result", "#ttl": "ttl"}


class DynamoDBDriver(Driver):
    """Items of a table.

    Args:
        parts: The URL.
        options: Deadlines, and ``dynamodb_endpoint_url``.
        url: The URL, masked.
    """

    name = "dynamodb"
    longest_pause = 0.5

    def __init__(self, parts: ServerURL, options: BackendOptions, url: str) -> None:
        self.url = url
        self._table = parts.path.strip("/") or "celery"
        self._capacity = {
            "ReadCapacityUnits": _number(parts.query, "read", 1, url),
            "WriteCapacityUnits": _number(parts.query, "write", 1, url),
        }
        self._ttl_seconds = _number(parts.query, "ttl_seconds", None, url)
        # Where the service does not delete what has expired, the daily clean-up does.
        self.expires = self._ttl_seconds is not None and self._ttl_seconds >= 0
        self._timeout = options.timeout
        endpoint, region = _place(parts, options)
        key, secret = parts.username, parts.password
        if bool(key) != bool(secret):
            raise ImproperlyConfigured(
                f"result_backend {url}: an access key and its secret go together, as in dynamodb://key:secret@region"
            )
        self._client = client_of(
            "dynamodb",
            connect_timeout=options.connect_timeout,
            timeout=options.timeout,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name=region,
            endpoint_url=endpoint,
        )
        self._prepared = False
        self._preparing = threading.Lock()

    # --- items

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        client, now, found = self._ready_client(), time.time(), {}
        names = {_item_id(key): key for key in keys}
        for page in pages(list(names), _READ_AT_ONCE):
            wanted: Any = {
                self._table: {
                    "Keys": [{"id": {"S": name}} for name in page],
                    "ConsistentRead": True,
                    "ProjectionExpression": "#id, #result, #ttl",
                    "ExpressionAttributeNames": _NAMES,
                }
            }
            for answer in self._until_done(client.batch_get_item, wanted, "UnprocessedKeys"):
                for item in answer["Responses"].get(self._table, ()):
                    if not _has_expired(item, now) and "result" in item:
                        data = bytes(item["result"]["B"])
                        found[names[item["id"]["S"]]] = Stored(data, data)
        return found

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        condition: dict[str, Any] = {}
        if expecting is ABSENT:
            condition = {
                "ConditionExpression": "attribute_not_exists(#id) OR #ttl <= :now",
                "ExpressionAttributeNames": {"#id": "id", "#ttl": "ttl"},
                "ExpressionAttributeValues": {":now": {"N": str(int(time.time()))}},
            }
        elif expecting is not ANY:
            condition = {
                "ConditionExpression": "#result = :before",
                "ExpressionAttributeNames": {"#result": "result"},
                "ExpressionAttributeValues": {":before": {"B": expecting}},
            }
        try:
            self._ready_client().put_item(TableName=self._table, Item=self._item(entry), **condition)
        except ClientError as error:
            if condition and code_of(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def write_many(self, entries: Sequence[Entry]) -> None:
        if len(entries) == 1:
            self.write(entries[0])
            return
        self._write_requests([{"PutRequest": {"Item": self._item(entry)}} for entry in entries])

    def delete(self, keys: Sequence[str]) -> None:
        self._delete_items([_item_id(key) for key in dict.fromkeys(keys)])

    def _delete_items(self, names: Sequence[str]) -> None:
        self._write_requests([{"DeleteRequest": {"Key": {"id": {"S": name}}}} for name in names])

    def _write_requests(self, requests: Sequence[Any]) -> None:
        client = self._ready_client()
        for page in pages(requests, _WRITTEN_AT_ONCE):
            for _ in self._until_done(client.batch_write_item, {self._table: list(page)}, "UnprocessedItems"):
                continue

    def _until_done(self, request: Any, items: Any, undone: str) -> Any:
        """Ask again for what the service left undone, being busy; yields its answers."""
        deadline, pause = time.monotonic() + self._timeout, _FIRST_PAUSE
        while True:
            answer = request(RequestItems=items)
            yield answer
            items = answer.get(undone)
            if not items:
                return
            if time.monotonic() + pause > deadline:
                raise OperationalError(
                    f"{self.url} is too busy: it left requests undone for {self._timeout:g} s; give the table more "
                    f"capacity"
                )
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _item(self, entry: Entry) -> dict[str, Any]:
        now = time.time()
        item: dict[str, Any] = {
            "id": {"S": _item_id(entry.key)},
            "result": {"B": entry.data},
            "timestamp": {"N": str(now)},
        }
        seconds = self._ttl_seconds if self.expires else entry.seconds
        if seconds:
            item["ttl"] = {"N": str(int(now + seconds))}
        return item

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        removed, starts = 0, tuple(_item_id(prefix)[:-1] for prefix in lifetimes)
        scan = self._ready_client().get_paginator("scan")
        for answer in scan.paginate(
            TableName=self._table,
            ProjectionExpression="#id",
            FilterExpression="#ttl <= :now",
            ExpressionAttributeNames={"#id": "id", "#ttl": "ttl"},
            ExpressionAttributeValues={":now": {"N": str(int(time.time()))}},
        ):
            names = [item["id"]["S"] for item in answer["Items"]]
            old = [name for name in names if name.startswith(starts)]
            self._delete_items(old)
            removed += len(old)
        return removed

    # --- the table

    def _ready_client(self) -> Any:
        client = self._client.get()
        if not self._prepared:
            with self._preparing:
                if not self._prepared:
                    self._prepare(client)
                    self._prepared = True
        return client

    def _prepare(self, client: Any) -> None:
        """Make the table unless it is there, and see to what the URL says of its expiry."""
        try:
            status = client.describe_table(TableName=self._table)["Table"]["TableStatus"]
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            status = self._create(client)
        deadline = time.monotonic() + _TABLE_TIMEOUT
        while status not in ("ACTIVE", "UPDATING"):
            if time.monotonic() > deadline:
                raise OperationalError(f"{self.url}: the table is {status} after {_TABLE_TIMEOUT:g} s")
            time.sleep(_TABLE_PAUSE)
            status = client.describe_table(TableName=self._table)["Table"]["TableStatus"]
        if self._ttl_seconds is not None:
            self._set_expiry(client)

    def _create(self, client: Any) -> str:
        try:
            answer = client.create_table(
                TableName=self._table,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                ProvisionedThroughput=self._capacity,
            )
        except ClientError as error:
            # Another process was faster.
            if code_of(error) != "ResourceInUseException":
                raise
            return "CREATING"
        return str(answer["TableDescription"]["TableStatus"])

    def _set_expiry(self, client: Any) -> None:
        described = client.describe_time_to_live(TableName=self._table)["TimeToLiveDescription"]
        is_on = described["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
        if is_on == self.expires:
            return
        try:
            client.update_time_to_live(
                TableName=self._table,
                TimeToLiveSpecification={"Enabled": self.expires, "AttributeName": "ttl"},
            )
        except ClientError as error:
            # Another process was faster, or it was changed within the last hour.
            if code_of(error) != "ValidationException":
                raise

    def errors(self) -> AbstractContextManager[None]:
        return translated(self.url)

    def close(self) -> None:
        self._client.close()


def _item_id(key: str) -> str:
    """The id of an item, as Celery forms it: its keys are bytes, and it takes them as Python shows them."""
    return repr(key.encode())


def _has_expired(item: Mapping[str, Any], now: float) -> bool:
    ttl = item.get("ttl")
    return ttl is not None and float(ttl["N"]) <= now


def _number(query: Mapping[str, str], name: str, default: int | None, url: str) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise ImproperlyConfigured(f"result_backend {url}: {name} is a whole number, not {text!r}") from None


def _place(parts: ServerURL, options: BackendOptions) -> tuple[str | None, str | None]:
    """Endpoint and region of a URL: a host that is no region is an endpoint."""
    if parts.host == "localhost" or parts.port is not None:
        return f"http://{parts.host}:{parts.port or 8000}", "us-east-1"
    return options.settings.get("dynamodb_endpoint_url"), parts.host or None


def open_driver(url: str, options: BackendOptions) -> DynamoDBDriver:
    """``dynamodb://key:secret@region/table?read=1&write=1&ttl_seconds=86400``, or ``dynamodb://@localhost:8000``."""
    parts = parse_url(url if "://" in url else f"{url}://")
    return DynamoDBDriver(parts, options, redact(url))
