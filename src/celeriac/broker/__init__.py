"""Brokers: one port, and a driver for each kind of server.  `open_broker` is the table of URL schemes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from celeriac.broker.base import Broker, BrokerCapabilities, BrokerOptions, BrokerSession
from celeriac.broker.topology import Broadcast, Exchange, Queue, binding
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.plugins import find_plugin
from celeriac.utils.suggest import closest
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Broadcast",
    "Broker",
    "BrokerCapabilities",
    "BrokerOptions",
    "BrokerSession",
    "Exchange",
    "Queue",
    "binding",
    "open_broker",
]

#: Entry points of further brokers, by scheme: called with the URL and `BrokerOptions`.
GROUP = "celeriac.brokers"
#: What some call the server rather than the protocol.
_ALSO_CALLED = {"rabbit": "amqp", "rabbitmq": "amqp", "valkey": "redis", "rediscluster": "redis+cluster"}

SCHEMES = (
    "amqp",
    "amqps",
    "librabbitmq",
    "mariadb",
    "memory",
    "mysql",
    "postgresql",
    "pyamqp",
    "redis",
    "rediss",
    "redis+cluster",
    "redis+socket",
    "rediss+cluster",
    "sentinel",
    "sqlite",
    "sqs",
)
#: Those of kombu's transports, with kombu installed; ``kombu+`` before a scheme means kombu's transport in any case.
KOMBU_SCHEMES = (
    "azureservicebus",
    "azurestoragequeues",
    "confluentkafka",
    "consul",
    "etcd",
    "filesystem",
    "gcpubsub",
    "kafka",
    "mongodb",
    "pgmq",
    "pyro",
    "qpid",
    "slmq",
    "sqla",
    "sqlalchemy",
    "zookeeper",
)
#: Where the driver of a scheme is; its module is imported when the scheme is used.
_DRIVERS = {
    **dict.fromkeys(("amqp", "amqps", "pyamqp", "librabbitmq"), "celeriac.broker.amqp:AMQPBroker"),
    **dict.fromkeys(("redis", "rediss", "sentinel"), "celeriac.broker.redis:RedisBroker"),
    **dict.fromkeys(("postgresql", "postgres"), "celeriac.broker.sql.postgresql:PostgreSQLBroker"),
    **dict.fromkeys(("mysql", "mariadb"), "celeriac.broker.sql.mysql:MySQLBroker"),
    **dict.fromkeys((*KOMBU_SCHEMES, "kombu"), "celeriac.broker.kombu:KombuBroker"),
    "memory": "celeriac.broker.memory:MemoryBroker",
    "sqlite": "celeriac.broker.sql.sqlite:SQLiteBroker",
    "sqs": "celeriac.broker.sqs:SQSBroker",
}


def open_broker(url: str, options: BrokerOptions | None = None) -> Broker:
    """Make a broker of its URL. Connects to nothing yet.

    Args:
        url: ``scheme://…``; several URLs joined by ``;`` are tried in turn.
        options: Settings common to all drivers.

    Raises:
        ImproperlyConfigured: The scheme is unknown, the URL malformed, or the driver's package missing.
    """
    scheme = url.partition("://")[0].partition("+")[0] if not url.startswith("redis+socket") else "redis"
    return _factory(scheme, url)(url, options or BrokerOptions())


def _factory(scheme: str, url: str) -> Callable[[str, BrokerOptions], Broker]:
    """Import the driver of a scheme; drivers load nothing until they are asked for."""
    driver = _DRIVERS.get(scheme.lower())
    if driver is not None:
        module, _, name = driver.partition(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    if "://" not in url:
        raise ImproperlyConfigured(
            f"broker_url {redact(url)!r} is not a URL; write scheme://host:port/name, as in "
            f"redis://localhost:6379/0; known schemes are: {_known()}"
        )
    if (plugin := find_plugin(scheme, GROUP)) is not None:
        return plugin  # type: ignore[no-any-return]
    meant = _ALSO_CALLED.get(scheme) or closest(scheme, (*SCHEMES, *KOMBU_SCHEMES), similarity=0.7)
    hint = f"did you mean {meant}? Known" if meant else "known"
    raise ImproperlyConfigured(f"broker_url {redact(url)!r} has the unknown scheme {scheme!r}; {hint} are: {_known()}")


def _known() -> str:
    return f"{', '.join(SCHEMES)}; and with kombu installed {', '.join(KOMBU_SCHEMES)}"
