"""`Connection`, made from a URL, as in ``kombu``."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from celeriac.app.connection import Connection as AppConnection
from celeriac.app.sessions import FailoverBroker
from celeriac.broker import BrokerOptions, open_broker
from celeriac.utils.url import split_failover

__all__ = ["BrokerConnection", "Connection"]


class Connection(AppConnection):
    """A connection to a broker.

    Args:
        hostname: URL, several joined by ``;`` or a list of them, or the name of a host.
        userid: User, where ``hostname`` is no URL.
        password: Ditto.
        virtual_host: Ditto; the database of Redis.
        port: Ditto.
        ssl: True, or parameters of TLS.
        transport: Scheme, where ``hostname`` is no URL; ``amqp`` if it is not given.
        connect_timeout: Seconds.
        transport_options: As ``broker_transport_options``.
        login_method: As ``broker_login_method``.
        heartbeat: AMQP heartbeat in seconds.
        failover_strategy: As ``broker_failover_strategy``.
    """

    def __init__(
        self,
        hostname: Any = "localhost",
        userid: str | None = None,
        password: str | None = None,
        virtual_host: str | None = None,
        port: int | None = None,
        ssl: Any = False,
        transport: str | None = None,
        connect_timeout: float = 5,
        transport_options: dict[str, Any] | None = None,
        login_method: str | None = None,
        heartbeat: float = 0,
        failover_strategy: Any = None,
    ) -> None:
        options = BrokerOptions(
            connect_timeout=connect_timeout, use_ssl=ssl, transport_options=transport_options or {},
            login_method=login_method, heartbeat=heartbeat,
        )  # fmt: skip
        urls = hostname if isinstance(hostname, list | tuple) else split_failover(hostname or "localhost")
        made = [_url(one, transport, userid, password, port, virtual_host) for one in urls]
        brokers = [open_broker(one, options) for one in made]
        super().__init__(brokers[0] if len(brokers) == 1 else FailoverBroker(brokers, failover_strategy))


BrokerConnection = Connection


def _url(
    host: str, transport: str | None, user: str | None, password: str | None, port: int | None, vhost: str | None
) -> str:
    if "://" in host:
        return host
    login = f"{quote(user, safe='')}:{quote(password or '', safe='')}@" if user else ""
    place = f"{host}:{port}" if port else host
    return f"{transport or 'amqp'}://{login}{place}/{quote(vhost, safe='') if vhost else ''}"
