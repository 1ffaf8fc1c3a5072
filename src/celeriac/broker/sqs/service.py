"""Requests to the service: one method for each, in batches as large as it takes.  Knows nothing of tasks.

Every request has a deadline, that of its client.  Errors are ours; what the service says of single entries of a batch
is returned.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.broker.sqs.names import is_fifo, queue_name
from celeriac.drivers.aws import ClientError, client_of, code_of, translated
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from celeriac.broker.sqs.options import SQSOptions
    from celeriac.utils.per_process import PerProcess

#: Entries of one request, the most the service takes.
BATCH: Final = 10
#: Bytes of one request that holds several messages; one alone may have what the service takes.
BATCH_BYTES: Final = 256 * 1024
_ABSENT: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed")


class Outgoing(NamedTuple):
    """A message to send.

    Attributes:
        body: Its text.
        delay: Whole seconds, at most 900.
        attributes: In the form of the service.
        group, deduplication: Of a queue with order.
    """

    body: str
    delay: int = 0
    attributes: Mapping[str, Any] = {}
    group: str | None = None
    deduplication: str | None = None


class Service:
    """SQS as one application sees it. Threads may share it.

    Args:
        options: What it is told.
        url: URL of the broker with its password masked, for messages.
    """

    def __init__(self, options: SQSOptions, url: str) -> None:
        self.options = options
        self.url = url
        self._client = self._make_client(options.timeout)
        self._waiting = self._make_client(options.wait + options.timeout)
        self._own: dict[str, tuple[PerProcess[Any], PerProcess[Any]]] = {}
        self._urls = {name: queue.url for name, queue in options.predefined.items()}
        self._redriving: dict[str, bool] = {}
        self._lock = threading.Lock()

    def _make_client(self, timeout: float, queue: str | None = None) -> PerProcess[Any]:
        options = self.options
        given: Any = options if queue is None else options.predefined[queue]
        return client_of(
            "sqs",
            connect_timeout=options.connect_timeout,
            timeout=timeout,
            attempts=1,
            settings=options.client,
            region_name=given.region or options.region,
            aws_access_key_id=given.access_key_id or options.access_key_id,
            aws_secret_access_key=given.secret_access_key or options.secret_access_key,
            endpoint_url=options.endpoint,
        )

    def _of(self, queue: str, *, waiting: bool = False) -> Any:
        """The client for a queue."""
        given = self.options.predefined.get(queue)
        if given is None or (given.region is None and given.access_key_id is None):
            return (self._waiting if waiting else self._client).get()
        with self._lock:
            pair = self._own.get(queue)
            if pair is None:
                ordinary = self._make_client(self.options.timeout, queue)
                pair = ordinary, self._make_client(self.options.wait + self.options.timeout, queue)
                self._own[queue] = pair
        return pair[waiting].get()

    # --- queues

    def check(self, name: str) -> None:
        """Make sure that the service answers, and takes the credentials; the queue need not exist."""
        with translated(self.url):
            self.find(next(iter(self.options.predefined), name))
            for queue in self.options.predefined:
                self._of(queue).get_queue_attributes(QueueUrl=self._urls[queue], AttributeNames=["QueueArn"])
                return

    def find(self, name: str) -> str | None:
        """The URL of a queue, or None when there is none."""
        url = self._urls.get(name)
        if url is None and not self.options.predefined:
            try:
                answer = self._client.get().get_queue_url(QueueName=queue_name(name, self.options.prefix))
            except ClientError as error:
                if code_of(error) in _ABSENT:
                    return None
                raise
            url = self._urls[name] = str(answer["QueueUrl"])
        return url

    def queue(self, name: str, **attributes: str) -> str:
        """The URL of a queue, which is made when it is not there.

        Raises:
            OperationalError: It is not among those that are predefined.
        """
        url = self.find(name)
        if url is not None:
            return url
        if self.options.predefined:
            raise OperationalError(
                f"{self.url}: queue {name!r} is not among broker_transport_options['predefined_queues'] "
                f"({', '.join(sorted(self.options.predefined))}), and others are not used then; add it there"
            )
        physical = queue_name(name, self.options.prefix)
        fifo = {"FifoQueue": "true"} if is_fifo(physical) else {}
        answer = self._client.get().create_queue(
            QueueName=physical, Attributes={**self.options.creation, **fifo, **attributes}, tags=dict(self.options.tags)
        )
        url = self._urls[name] = str(answer["QueueUrl"])
        return url

    def is_redriving(self, name: str) -> bool:
        """Whether the service itself moves what fails from a queue to another one."""
        if name not in self._redriving:
            answer = self._of(name).get_queue_attributes(QueueUrl=self.queue(name), AttributeNames=["RedrivePolicy"])
            self._redriving[name] = "RedrivePolicy" in answer.get("Attributes", {})
        return self._redriving[name]

    def counts(self, name: str) -> tuple[int, int]:
        """Messages that wait in a queue, and that are delayed; the service counts approximately."""
        url = self.find(name)
        if url is None:
            return 0, 0
        try:
            answer = self._of(name).get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
        except ClientError as error:
            if code_of(error) in _ABSENT:
                return 0, 0
            raise
        waiting, delayed = (int(answer["Attributes"].get(count, 0)) for count in _COUNTS)
        return waiting, delayed

    def purge(self, name: str) -> None:
        """Drop all messages of a queue; the service takes it once a minute."""
        url = self.find(name)
        if url is not None:
            self._of(name).purge_queue(QueueUrl=url)

    # --- messages

    def send(self, name: str, messages: Sequence[Outgoing]) -> dict[int, str]:
        """Send up to `BATCH` messages; returns why, by position, for those that were refused."""
        entries = [_entry(position, message) for position, message in enumerate(messages)]
        answer = self._of(name).send_message_batch(QueueUrl=self.queue(name), Entries=entries)
        return _failures(answer)

    def receive(self, name: str, limit: int, *, hidden: int, wait: int = 0) -> list[dict[str, Any]]:
        """Take up to `BATCH` messages, which others do not see for some seconds."""
        answer = self._of(name, waiting=True).receive_message(
            QueueUrl=self.queue(name),
            MaxNumberOfMessages=min(limit, BATCH),
            VisibilityTimeout=hidden,
            WaitTimeSeconds=wait,
            AttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", ()))

    def delete(self, name: str, receipts: Sequence[str]) -> dict[int, str]:
        """Delete up to `BATCH` messages; returns why not, by position."""
        entries = [{"Id": str(position), "ReceiptHandle": receipt} for position, receipt in enumerate(receipts)]
        return _failures(self._of(name).delete_message_batch(QueueUrl=self.queue(name), Entries=entries))

    def hide(self, name: str, receipts: Sequence[str], seconds: int) -> dict[int, str]:
        """Show up to `BATCH` messages to others again in some seconds; returns why not, by position."""
        entries = [
            {"Id": str(position), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for position, receipt in enumerate(receipts)
        ]
        return _failures(self._of(name).change_message_visibility_batch(QueueUrl=self.queue(name), Entries=entries))


def batches(messages: Sequence[Outgoing]) -> Iterator[slice]:
    """Cut messages into requests."""
    start, size = 0, 0
    for position, message in enumerate(messages):
        length = len(message.body.encode())
        if position > start and (position - start == BATCH or size + length > BATCH_BYTES):
            yield slice(start, position)
            start, size = position, 0
        size += length
    if start < len(messages):
        yield slice(start, len(messages))


def _entry(position: int, message: Outgoing) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": str(position), "MessageBody": message.body}
    if message.delay:
        entry["DelaySeconds"] = message.delay
    if message.attributes:
        entry["MessageAttributes"] = dict(message.attributes)
    if message.group is not None:
        entry["MessageGroupId"], entry["MessageDeduplicationId"] = message.group, message.deduplication
    return entry


def _failures(answer: Mapping[str, Any]) -> dict[int, str]:
    return {
        int(failed["Id"]): f"{failed.get('Code')}: {failed.get('Message') or 'no reason given'}"
        for failed in answer.get("Failed", ())
    }
