"""A configured SQS: its URL and transport options, read once.  Sessions do all the work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from celeriac.broker.base import BrokerCapabilities, BrokerOptions
from celeriac.broker.sqs import dead_letters
from celeriac.broker.sqs.options import read_options
from celeriac.broker.sqs.service import Service
from celeriac.broker.sqs.session import Bindings, SQSSession
from celeriac.broker.url import redact
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from celeriac.broker.base import BrokerSession

CAPABILITIES: Final = BrokerCapabilities(
    name="sqs", priorities=False, delay_resolution=1.0, answers_acks=False, counts_receivers=False
)

_bindings: dict[str, Bindings] = {}


class SQSBroker:
    """Amazon SQS: ``sqs://``, ``sqs://key:secret@``, or ``sqs://host:port`` for a service with its interface.

    Args:
        url: The URL.
        options: Settings common to all drivers; ``transport_options`` are kombu's.

    Raises:
        ImproperlyConfigured: The URL or an option cannot be used, or boto3 is missing.
    """

    def __init__(self, url: str, options: BrokerOptions | None = None) -> None:
        options = options or BrokerOptions()
        self._url = redact(url)
        self._service = Service(read_options(url, options), self._url)
        self._bindings = _bindings.setdefault(url, {})
        self._timeout = options.connect_timeout

    @property
    def capabilities(self) -> BrokerCapabilities:
        return CAPABILITIES

    @property
    def url(self) -> str:
        return self._url

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> BrokerSession:
        """Open a session, once the service has answered.

        Args:
            timeout: Seconds for that.
            resume: Accepted as the port demands; there is no connection that could break.
        """
        failure: list[BaseException] = []

        def check() -> None:
            try:
                self._service.check(dead_letters.QUEUE)
            except BaseException as error:
                failure.append(error)

        # The library has no deadline for a request as a whole.
        thread = threading.Thread(target=check, name="sqs-connect", daemon=True)
        thread.start()
        thread.join(self._timeout if timeout is None else timeout)
        if thread.is_alive():
            raise OperationalError(f"{self._url} did not answer in time")
        if failure:
            raise failure[0]
        return SQSSession(self._service, self._bindings)
