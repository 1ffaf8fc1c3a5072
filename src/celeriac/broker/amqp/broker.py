"""A configured RabbitMQ broker: its URL and options, read once.  Sessions do all the work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.amqp.delay import QUEUE_TYPES
from celeriac.broker.amqp.publishing import SessionSettings
from celeriac.broker.amqp.session import AMQPSession
from celeriac.broker.base import BrokerCapabilities, BrokerOptions
from celeriac.broker.transport_options import ELSEWHERE
from celeriac.broker.url import redact, split_failover
from celeriac.drivers.amqp.errors import AMQPError
from celeriac.drivers.amqp.faults import as_connect_failure
from celeriac.drivers.amqp.link import Link
from celeriac.drivers.amqp.params import params_from_url
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.broker.base import BrokerSession

CAPABILITIES = BrokerCapabilities(
    name="amqp", fanout=True, priorities=True, exchanges=True, delay_resolution=1.0, purges_delayed=False,
    answers_acks=False, counts_receivers=False, once=True,
)  # fmt: skip

#: Seconds for one operation other than publishing, unless ``read_timeout`` says otherwise.
DEFAULT_TIMEOUT = 10.0


class AMQPBroker:
    """A RabbitMQ server.

    AMQP heartbeats are sent whenever the session is used, and a worker that has no room uses it three times in a
    lease only: a shorter interval of heartbeats is raised to two thirds of the lease.

    Args:
        url: ``amqp://``, ``amqps://`` or ``pyamqp://user:password@host:port/vhost``; guest on localhost by default.
        options: Settings common to all drivers; ``transport_options`` are `params_from_url`'s.

    Raises:
        ImproperlyConfigured: The URL or an option cannot be used.
    """

    def __init__(self, url: str, options: BrokerOptions | None = None) -> None:
        self._options = options = options or BrokerOptions()
        self._url = redact(url)
        if len(split_failover(url)) > 1:
            raise ImproperlyConfigured(
                f"{self._url!r} holds several URLs; an AMQP broker takes one (broker_url and open several with "
                "FailoverBroker)"
            )
        if options.delay_queue_type not in QUEUE_TYPES:
            raise ImproperlyConfigured(
                f"broker_native_delayed_delivery_queue_type is {options.delay_queue_type!r}; "
                f"it has to be one of {', '.join(QUEUE_TYPES)}"
            )
        transport: dict[str, Any] = {
            key: value for key, value in options.transport_options.items() if key not in ELSEWHERE
        }
        self._params = params_from_url(
            url,
            tls=options.use_ssl,
            options=transport,
            heartbeat=max(options.heartbeat, options.lease * 2 / 3) if options.heartbeat else 0.0,
            connect_timeout=options.connect_timeout,
            operation_timeout=DEFAULT_TIMEOUT,
            login_method=options.login_method,
        )
        confirm = self._params.confirm_publish
        self._settings = SessionSettings(
            publish_timeout=options.publish_timeout,
            confirm=options.confirm_publish if confirm is None else confirm,
            max_body_size=options.max_body_size,
            delay_queue_type=options.delay_queue_type,
        )

    @property
    def capabilities(self) -> BrokerCapabilities:
        return CAPABILITIES

    @property
    def url(self) -> str:
        return self._url

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> BrokerSession:
        limit = self._params.connect_timeout if timeout is None else timeout
        link = Link(self._params)
        try:
            link.connect(time.monotonic() + limit)
        except AMQPError as error:
            raise as_connect_failure(error, self._params.address) from error
        session = AMQPSession(link, self._settings)
        if isinstance(resume, AMQPSession):
            session.continue_from(resume)
        return session
