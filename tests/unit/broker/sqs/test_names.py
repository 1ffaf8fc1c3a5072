"""Names of queues in SQS."""

from __future__ import annotations

import pytest

from celeriac.broker.sqs.names import is_fifo, queue_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("celery", "celery"),
        ("orders.eu", "orders-eu"),
        ("a/b@c:d", "a_b_c_d"),
        ("kept-as_is", "kept-as_is"),
        ("orders.eu.fifo", "orders-eu.fifo"),
        ("č", "_u010d"),
    ],
)
def test_names_are_those_of_kombu(name: str, expected: str) -> None:
    assert queue_name(name) == expected


def test_the_prefix_is_part_of_the_name() -> None:
    assert queue_name("q.fifo", "my.app-") == "my-app-q.fifo"
    assert is_fifo(queue_name("q.fifo", "p-"))
    assert not is_fifo("q-fifo")
