"""A configured Redis broker: its URLs and transport options, read once.  Sessions do all the work."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.base import BrokerCapabilities, BrokerOptions
from celeriac.broker.redis.layout import Layout
from celeriac.broker.redis.leasing import LeaseTimes
from celeriac.broker.redis.session import RedisSession, SessionSettings
from celeriac.broker.transport_options import ELSEWHERE
from celeriac.broker.url import redact, split_failover
from celeriac.drivers.resp import RespConnection
from celeriac.drivers.resp_params import RespParams, params_from_url
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celeriac.broker.base import BrokerSession

CAPABILITIES = BrokerCapabilities(
    name="redis", fanout=True, fanout_by_key=True, priorities=True, exchanges=True, resumable=True, once=True
)

#: Seconds for one operation other than publishing, unless ``socket_timeout`` says otherwise.
DEFAULT_TIMEOUT = 10.0
MIN_TIMEOUT = 1.0
DEFAULT_VISIBILITY_TIMEOUT = 3600.0
_SENTINEL = "sentinel://"
_ORDERS = ("round_robin", "sorted", "priority")

_LAYOUT_OPTIONS = frozenset(
    {
        "fanout_patterns",
        "fanout_prefix",
        "global_keyprefix",
        "priority_steps",
        "sep",
        "unacked_index_key",
        "unacked_key",
    }
)
_SESSION_OPTIONS = frozenset({"queue_order_strategy", "visibility_timeout"})
#: kombu's options for its own sweep, which the sweep of lapsed sessions takes the place of: it needs no lock and
#: always runs until nothing is left. ``ack_emulation`` off would mean losing messages.
_WITHOUT_EFFECT = frozenset(
    {
        "unacked_mutex_expire",
        "unacked_mutex_key",
        "unacked_restore_interval",
        "unacked_restore_limit",
        "unacked_restore_throttle",
    }
)


@dataclass(frozen=True)
class _Server:
    params: RespParams
    layout: Layout


class RedisBroker:
    """A Redis server, or several that are tried in turn.

    Args:
        url: ``redis://``, ``rediss://`` or ``redis+socket://``; several joined by ``;``. Or ``sentinel://``: then
            all of them are sentinels of one primary, which ``master_name`` names. Or ``redis+cluster://`` or
            ``rediss+cluster://``: then all of them are nodes of one cluster.
        options: Settings common to all drivers; ``transport_options`` are kombu's.

    Raises:
        ImproperlyConfigured: A URL or an option cannot be used.
    """

    def __init__(self, url: str, options: BrokerOptions | None = None) -> None:
        self._options = options or BrokerOptions()
        self._url = redact(url)
        transport = dict(self._options.transport_options)
        urls = [url] if url.startswith(_SENTINEL) or "+cluster://" in url else split_failover(url)
        self._servers = [self._server(each, transport) for each in urls]
        self._next = 0
        self._settings = _session_settings(self._options, transport)

    def _server(self, url: str, transport: Mapping[str, Any]) -> _Server:
        known = _LAYOUT_OPTIONS | _SESSION_OPTIONS | _WITHOUT_EFFECT | ELSEWHERE
        read: Callable[..., RespParams] = params_from_url
        if url.startswith(_SENTINEL):
            # Only who names sentinels loads this.
            from celeriac.drivers.resp_sentinel import params_from_sentinel_url

            read = functools.partial(params_from_sentinel_url, setting="broker_transport_options")
        read = functools.partial(
            read,
            connect_timeout=self._options.connect_timeout,
            # A session that waited for longer than its lease would have lost everything meanwhile.
            timeout=min(DEFAULT_TIMEOUT, max(self._options.lease, MIN_TIMEOUT)),
            tls=self._options.use_ssl,
            options={key: value for key, value in transport.items() if key not in known},
        )
        if "+cluster://" not in url:
            params = read(url)
            return _Server(params, Layout.from_options(transport, db=params.db))
        from celeriac.broker.redis.cluster import cluster_params, in_one_slot

        layout = in_one_slot(Layout.from_options(transport, db=0))
        return _Server(cluster_params(url, read, layout), layout)

    @property
    def capabilities(self) -> BrokerCapabilities:
        return CAPABILITIES

    @property
    def url(self) -> str:
        return self._url

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> BrokerSession:
        deadline = time.monotonic() + (self._options.connect_timeout if timeout is None else timeout)
        failure: OperationalError | None = None
        for attempt in range(len(self._servers)):
            chosen = (self._next + attempt) % len(self._servers)
            server = self._servers[chosen]
            remaining = (deadline - time.monotonic()) / (len(self._servers) - attempt)
            if remaining <= 0:
                break
            try:
                connection = RespConnection(server.params, deadline=time.monotonic() + remaining)
            except SessionRefused:
                raise
            except OperationalError as error:
                failure = error
                continue
            self._next = chosen
            session = RedisSession(connection, server.layout, self._settings)
            if isinstance(resume, RedisSession):
                session.take_over(resume)
            return session
        raise failure or OperationalError(f"no time was left to connect to {self._url}")


def _session_settings(options: BrokerOptions, transport: Mapping[str, Any]) -> SessionSettings:
    if transport.get("ack_emulation") is False:
        raise ImproperlyConfigured(
            "broker_transport_options: ack_emulation=False loses every message a worker holds when it dies; "
            "Celeriac always acknowledges"
        )
    order = str(transport.get("queue_order_strategy") or "round_robin")
    if order not in _ORDERS:
        raise ImproperlyConfigured(
            f"broker_transport_options: queue_order_strategy is {order!r}; it has to be one of {', '.join(_ORDERS)}"
        )
    times = LeaseTimes(
        lease=options.lease,
        sweep_interval=options.sweep_interval,
        visibility_timeout=float(transport.get("visibility_timeout") or DEFAULT_VISIBILITY_TIMEOUT),
    )
    return SessionSettings(times, options.publish_timeout, options.max_body_size, order)
