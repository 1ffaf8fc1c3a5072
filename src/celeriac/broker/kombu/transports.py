"""Which transports of kombu there are, and what is known about each.  Imports none of them."""

from __future__ import annotations

from typing import Final, NamedTuple

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.url import redact


class Transport(NamedTuple):
    """What the adapter has to know of a transport beyond what its class says.

    Attributes:
        extra: Extras of the distribution that install what it needs.
        leased: Its service itself shows to others, after a time, what was taken and not acknowledged; elsewhere a
            message that was taken is in the memory of its taker alone.
        priorities: It orders messages by priority.
        waits: Its requests for messages wait in the service, for its option ``wait_time_seconds``.
        ticks: Messages of one millisecond have no order.
    """

    extra: str
    leased: bool = False
    priorities: bool = False
    waits: bool = False
    ticks: bool = False


#: By scheme of the URL.
TRANSPORTS: Final = {
    "azureservicebus": Transport("azureservicebus", leased=True, waits=True),
    "azurestoragequeues": Transport("azurestoragequeues", leased=True),
    "confluentkafka": Transport("confluentkafka", waits=True),
    "consul": Transport("kombu,consul"),
    "etcd": Transport("etcd"),
    "filesystem": Transport("kombu", ticks=True),
    "gcpubsub": Transport("gcpubsub", leased=True, waits=True),
    "kafka": Transport("confluentkafka", waits=True),
    "mongodb": Transport("kombu,mongodb", priorities=True),
    "pgmq": Transport("pgmq", leased=True, waits=True),
    "pyro": Transport("pyro"),
    "slmq": Transport("slmq", leased=True),
    "sqla": Transport("kombu,sqlalchemy"),
    "sqlalchemy": Transport("kombu,sqlalchemy"),
    "zookeeper": Transport("zookeeper", priorities=True),
}
#: Put before the scheme of any transport, it is used where the scheme alone means a driver of ours.
PREFIX: Final = "kombu"
_REFUSED: Final = {
    "amqp": "amqp://",
    "amqps": "amqps://",
    "librabbitmq": "librabbitmq://",
    "pyamqp": "pyamqp://",
    "qpid": "amqp:// where the server speaks AMQP 0-9-1: the client library of Qpid exists for Python 2 only",
}


def kombu_url(url: str) -> tuple[str, str]:
    """The name of the transport, and the URL as kombu reads it.

    Raises:
        ImproperlyConfigured: The transport cannot be used.
    """
    plain = url.removeprefix(f"{PREFIX}+")
    scheme = plain.partition("://")[0].partition("+")[0].lower()
    if scheme in _REFUSED:
        raise ImproperlyConfigured(
            f"broker_url {redact(url)!r}: kombu's transport {scheme} cannot be used here; use {_REFUSED[scheme]}"
        )
    # kombu writes this one in capitals.
    return scheme, "SLMQ" + plain[4:] if scheme == "slmq" else plain


def traits(scheme: str) -> Transport:
    """What is known of a transport; of one that kombu has and we do not know, that nothing is."""
    return TRANSPORTS.get(scheme) or Transport("kombu")
