"""A worker on SQS, emulated: the main job, delays, dead letters, and what there is not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import BrokerOptions, Queue, open_broker
from celeriac.broker.sqs.names import queue_name
from celeriac.exceptions import ImproperlyConfigured
from celeriac.testing.contracts.broker_subject import bodies, fetch_count, publication
from tests.support import PATIENCE, servers, stores, wait_until
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.chaosproxy import ChaosProxy

pytestmark = pytest.mark.xdist_group("sqs")


@pytest.fixture(scope="module")
def url(moto: ChaosProxy) -> str:
    return f"sqs://{stores.AWS_KEY}:{stores.AWS_SECRET}@127.0.0.1:{moto.port}"


@pytest.fixture(scope="module")
def client(moto: ChaosProxy) -> Any:
    """boto3's own client, for what happens from outside."""
    return stores.aws_client("sqs", f"http://127.0.0.1:{moto.port}")


@pytest.fixture(scope="module")
def shop(url: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    name = servers.unique("sqs")
    conf = {
        "broker_url": url,
        "result_backend": f"{redis_server}/3",
        "task_default_queue": name,
        "broker_transport_options": {"queue_name_prefix": f"{name}-", "wait_time_seconds": 1},
    }
    workshop = Workshop(conf, tmp_path_factory.mktemp("sqs"))
    try:
        workshop.start(concurrency=2)
        yield workshop
    finally:
        workshop.close()


def test_tasks_run_and_their_results_come(shop: Workshop) -> None:
    results = [shop.task("add").delay(number, 1) for number in range(25)]
    assert [result.get(timeout=PATIENCE) for result in results] == [number + 1 for number in range(25)]


def test_a_delayed_task_waits(shop: Workshop) -> None:
    sent = time.time()
    assert shop.task("add").apply_async((1, 1), countdown=2.5).get(timeout=PATIENCE) == 2
    assert time.time() - sent >= 2.4


def test_an_unknown_task_is_set_aside(shop: Workshop) -> None:
    task_id = shop.app.send_task("nobody.knows").id

    (letter,) = wait_until(shop.dead_letters, what="the message is a dead letter")
    assert letter.message.headers["id"] == task_id
    assert "nobody.knows" in letter.reason


def test_there_is_no_remote_control_and_everybody_says_so(shop: Workshop) -> None:
    (worker,) = shop.workers
    assert "no remote control of this worker" in worker.log
    with pytest.raises(ImproperlyConfigured, match="cannot send one message to many workers"):
        shop.app.control.revoke("id")


# --- without a worker


def test_a_queue_with_order_keeps_it_and_counts_deliveries(url: str, client: Any) -> None:
    queue = Queue(f"{servers.unique()}.fifo")
    session = open_broker(url, BrokerOptions(transport_options={"wait_time_seconds": 1})).connect()
    try:
        session.consume([queue])
        session.publish_many([publication(queue, b"%d" % number) for number in range(5)])
        held = fetch_count(session, 5)
        assert bodies(held) == [b"0", b"1", b"2", b"3", b"4"]
        session.ack_many(held[:4], confirm=True)
        session.requeue_many(held[4:], charge=False)
        (again,) = fetch_count(session, 1)
        assert (again.message.body, again.deliveries) == (b"4", 2)
    finally:
        session.close()


def test_what_fails_in_a_queue_with_a_redrive_policy_is_left_to_it(url: str, client: Any) -> None:
    name = servers.unique()
    dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 1}}'
    made = client.create_queue(QueueName=queue_name(name), Attributes={"RedrivePolicy": policy})["QueueUrl"]
    queue = Queue(name)
    options = {"predefined_queues": {name: {"url": made}}}
    session = open_broker(url, BrokerOptions(transport_options=options)).connect()
    try:
        session.consume([queue])
        session.publish_many([publication(queue, b"bad")])
        session.reject_many(fetch_count(session, 1))

        def redriven() -> bool:
            assert session.fetch(limit=1, wait=0.1) == []
            answer = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])
            return str(answer["Attributes"]["ApproximateNumberOfMessages"]) == "1"

        wait_until(redriven, what="the service has moved the message")
    finally:
        session.close()


def test_other_queues_than_the_predefined_ones_are_refused(url: str, client: Any) -> None:
    name = servers.unique()
    made = client.create_queue(QueueName=name)["QueueUrl"]
    options = {"predefined_queues": {name: {"url": made}}}
    session = open_broker(url, BrokerOptions(transport_options=options)).connect()
    try:
        with pytest.raises(Exception, match=r"'another' is not among .*predefined_queues"):
            session.publish_many([publication(Queue("another"))])
    finally:
        session.close()


def test_a_delay_longer_than_the_service_keeps_is_kept_all_the_same(url: str, client: Any) -> None:
    """As it comes after the 15 minutes of the service: it goes back for the rest."""
    name = servers.unique()
    queue = Queue(name)
    session = open_broker(url, BrokerOptions(transport_options={"wait_time_seconds": 1})).connect()
    try:
        session.declare([queue])
        physical = client.get_queue_url(QueueName=name)["QueueUrl"]
        session.publish_many([publication(queue, b"later")])
        (message,) = client.receive_message(QueueUrl=physical, WaitTimeSeconds=1)["Messages"]
        client.delete_message(QueueUrl=physical, ReceiptHandle=message["ReceiptHandle"])
        mark = {"celeriac.not-before": {"DataType": "Number", "StringValue": str(time.time() + 3600)}}
        client.send_message(QueueUrl=physical, MessageBody=message["Body"], MessageAttributes=mark)
        session.consume([queue])

        def delayed() -> bool:
            assert session.fetch(limit=1, wait=0.1) == []
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
            counts = client.get_queue_attributes(QueueUrl=physical, AttributeNames=names)["Attributes"]
            return [counts[each] for each in names] == ["0", "1"]

        wait_until(delayed, what="the message waits again")
    finally:
        session.close()
