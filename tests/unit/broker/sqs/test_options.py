"""What an SQS broker is told."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.broker import BrokerOptions
from celeriac.broker.sqs.options import SQSOptions, read_options
from celeriac.exceptions import ImproperlyConfigured


def read(url: str = "sqs://", lease: float = 30.0, **transport: Any) -> SQSOptions:
    return read_options(url, BrokerOptions(lease=lease, transport_options=transport))


def test_without_anything_boto3_decides() -> None:
    options = read()
    assert (options.endpoint, options.region, options.access_key_id) == (None, "us-east-1", None)
    assert options.creation == {"VisibilityTimeout": "1800"}


def test_a_host_is_an_endpoint() -> None:
    options = read("sqs://key:s%2Fcret@localhost:9324")
    assert (options.endpoint, options.access_key_id) == ("http://localhost:9324", "key")
    assert options.secret_access_key == "s/cret"
    assert read("sqs://key:secret@sqs.example.com", is_secure=True).endpoint == "https://sqs.example.com"


@pytest.mark.parametrize(("lease", "expected"), [(0.2, 1), (1.0, 1), (1.2, 2), (30.0, 30)])
def test_a_lease_has_whole_seconds(lease: float, expected: int) -> None:
    assert read(lease=lease).lease == expected


def test_queues_are_made_as_the_options_say() -> None:
    transport = {"visibility_timeout": 60, "sqs-creation-attributes": {"KmsMasterKeyId": "alias/x"}}
    options = read_options("sqs://", BrokerOptions(transport_options=transport))
    assert options.creation == {"VisibilityTimeout": "60", "KmsMasterKeyId": "alias/x"}


@pytest.mark.parametrize(
    ("url", "transport", "message"),
    [
        ("sqs://key@", {}, "an access key and its secret go together"),
        ("sqs://", {"regoin": "eu-west-1"}, "did you mean 'region'"),
        ("sqs://", {"supports_fanout": True}, "supports_fanout is not built yet"),
        ("sqs://", {"wait_time_seconds": "ten"}, "wait_time_seconds is 'ten'"),
        ("sqs://", {"predefined_queues": ["a"]}, "predefined_queues is"),
        ("sqs://", {"predefined_queues": {"a": {}}}, "needs a 'url'"),
        ("sqs://", {"predefined_queues": {"a": {"url": "x", "backoff_policy": {}}}}, "backoff_policy.*not built yet"),
    ],
)
def test_what_cannot_be_used_is_refused(url: str, transport: dict[str, Any], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        read(url, **transport)
