"""What of DynamoDB is not in the contract: who deletes what has expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.backend import ResultRecord, open_backend
from tests.support import servers, stores

if TYPE_CHECKING:
    from tests.support.chaosproxy import ChaosProxy


@pytest.mark.parametrize(
    ("query", "status", "expires"),
    [("", "DISABLED", False), ("?ttl_seconds=100", "ENABLED", True), ("?ttl_seconds=-1", "DISABLED", False)],
)
def test_ttl_seconds_says_whether_the_service_deletes(moto: ChaosProxy, query: str, status: str, expires: bool) -> None:
    table = servers.unique("ttl")
    place = f"127.0.0.1:{moto.port}"
    backend = open_backend(f"dynamodb://{stores.AWS_KEY}:{stores.AWS_SECRET}@{place}/{table}{query}")
    backend.store_many([ResultRecord("t", "SUCCESS", 1)])
    client = stores.aws_client("dynamodb", f"http://{place}")
    found = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    client.close()
    assert (found["TimeToLiveStatus"], backend.capabilities.expires) == (status, expires)
    assert backend.load_many(["t"])["t"].result == 1
    backend.close()
