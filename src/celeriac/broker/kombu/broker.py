"""A configured transport of kombu.  Sessions do all the work."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.base import BrokerCapabilities, BrokerOptions
from celeriac.broker.kombu import dead_letters
from celeriac.broker.kombu.errands import Errands
from celeriac.broker.kombu.link import Bindings, Link, load
from celeriac.broker.kombu.session import KombuSession, SessionContext
from celeriac.broker.kombu.transports import kombu_url, traits
from celeriac.broker.url import redact
from celeriac.exceptions import ImproperlyConfigured, OperationalError

if TYPE_CHECKING:
    from celeriac.broker.base import BrokerSession
    from celeriac.broker.kombu.held import Payload

_bindings: dict[str, Bindings] = {}


class KombuBroker:
    """A transport of kombu, such as ``filesystem://``, ``mongodb://…``, ``sqla+postgresql://…``, ``kombu+memory://``.

    Args:
        url: The URL as kombu reads it, or ``kombu+`` and such a URL.
        options: Settings common to all drivers; ``transport_options`` are those of the transport.

    Raises:
        ImproperlyConfigured: The URL cannot be used, or kombu or what the transport needs is not installed.
    """

    def __init__(self, url: str, options: BrokerOptions | None = None) -> None:
        self._raw_url = url
        self._url = redact(url)
        self.options = options or BrokerOptions()
        self._name, _ = kombu_url(url)
        self._traits = traits(self._name)
        transport = load(url, self.options).get_transport_cls()
        self._capabilities = BrokerCapabilities(
            name=self._name,
            fanout=bool(transport.Channel.supports_fanout),
            priorities=self._traits.priorities,
            in_process=self._name == "memory",
            answers_acks=False,
            counts_receivers=False,
        )
        self._lock = threading.Lock()
        #: What sessions held when their connection broke, for the next one to put back.
        self._orphans: list[Payload] = []

    @property
    def capabilities(self) -> BrokerCapabilities:
        return self._capabilities

    @property
    def url(self) -> str:
        return self._url

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> BrokerSession:
        """Open a session, once the server has answered.

        Args:
            timeout: Seconds for that.
            resume: What a session of this broker held when its connection broke goes back to its queues by any next
                session; it is not continued.
        """
        link = Link(
            load(self._raw_url, self.options), self._name, _bindings.setdefault(self._raw_url, {})
        )  # fmt: skip
        errands = Errands(f"kombu-{self._name}")
        deadline = time.monotonic() + (self.options.connect_timeout if timeout is None else timeout)
        try:
            self._wait(errands, lambda: link.open(dead_letters.QUEUE), deadline)
            self._put_back(errands, link, deadline)
        except BaseException:
            errands.post(lambda: link.close(lost=True))
            errands.stop()
            raise
        context = SessionContext(self._url, self.options, self._traits.leased, self.adopt)
        return KombuSession(link, errands, context)

    def adopt(self, orphans: list[Payload]) -> None:
        """Keep messages for the next session to put back."""
        with self._lock:
            self._orphans += orphans

    def _put_back(self, errands: Errands, link: Link, deadline: float) -> None:
        with self._lock:
            orphans, self._orphans = self._orphans, []

        def put_back() -> None:
            while orphans:
                link.publish(orphans[0])
                del orphans[0]

        try:
            if orphans:
                self._wait(errands, put_back, deadline)
        except BaseException:
            self.adopt(orphans)
            raise

    def _wait(self, errands: Errands, work: Any, deadline: float) -> None:
        try:
            errands.post(work).result(max(deadline - time.monotonic(), 0.0))
        except (ImproperlyConfigured, OperationalError):
            raise
        except TimeoutError as error:
            raise OperationalError(f"{self._url} did not answer in time") from error
        except Exception as error:
            raise OperationalError(f"{self._url} cannot be used: {error}") from error
