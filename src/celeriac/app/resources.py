"""What an app makes of its settings: connections, queues, router, publisher, classes of results.

Each is made at its first use and made again after a setting has changed.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, cast

from celeriac.app.annotations import compile_annotations
from celeriac.app.backend_of_app import backend_of
from celeriac.app.made_once import made_once
from celeriac.app.publisher import Publisher, RetryPolicy
from celeriac.app.queues import Queues
from celeriac.app.routing import Router
from celeriac.app.sessions import Sessions
from celeriac.backend.notifier import stop_lingering
from celeriac.utils.clock import LamportClock
from celeriac.utils.imports import symbol_by_name
from celeriac.utils.time import get_timezone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.app.amqp import AMQP
    from celeriac.app.backend_of_app import AppBackend
    from celeriac.app.base import Celery
    from celeriac.app.connection import Connection
    from celeriac.app.events import Events
    from celeriac.app.log import Logging
    from celeriac.app.pools import Pool, PooledConnection, PooledProducer
    from celeriac.app.registry import TaskRegistry
    from celeriac.broker.base import Broker
    from celeriac.config import Settings
    from celeriac.control.client import Control
    from celeriac.result import AsyncResult as AsyncResultBase
    from celeriac.result import GroupResult as GroupResultBase
    from celeriac.result import ResultSet as ResultSetBase
    from celeriac.serialization.serializers import SerializerRegistry

__all__ = ["Resources"]

#: Attributes made of settings at their first use, and made again after a setting has changed.
_MADE_OF_SETTINGS = ("queues", "router", "publisher", "accept_content", "always_eager", "annotations", "timezone")
#: Settings whose change closes connections.
_CONNECTION_PREFIXES = (
    "broker_", "result_", "control_", "redis_", "database_", "celery_", "accept_", "visibility_", "override_",
)  # fmt: skip


class Resources:
    """The part of `Celery` that depends on settings.

    Attributes:
        main: Name that stands for ``__main__``.
        conf: Settings.
        lock: Held while something is made or dropped.
        sessions: Broker sessions by thread.
    """

    main: str | None
    conf: Settings
    lock: Any
    sessions: Sessions
    _events_cls: Any
    _tasks: TaskRegistry
    _control_cls: Any
    _log_cls: Any

    def _settings_changed(self, **changes: Any) -> None:
        """Drop everything that was made of settings; connections only if a setting concerns them."""
        with self.lock:
            for name in _MADE_OF_SETTINGS:
                self.__dict__.pop(name, None)
            if any(key.lower().startswith(_CONNECTION_PREFIXES) for key in changes):
                self._close_connections()
            for task in list(self._tasks.values()):
                task.forget_plan()

    def _close_connections(self) -> None:
        for name in ("producer_pool", "pool"):
            pool = self.__dict__.pop(name, None)
            if pool is not None:
                pool.force_close_all()
        self.sessions.close()
        control_sessions = self.__dict__.pop("control_sessions", None)
        if control_sessions is not None:
            control_sessions.close()
        for name in ("broker", "broker_for_read", "publisher", "control"):
            self.__dict__.pop(name, None)
        backend = self.__dict__.pop("backend", None)
        if backend is not None:
            stop_lingering(backend)
            backend.close()

    @made_once
    def queues(self) -> Queues:
        """The queues it knows."""
        return Queues(self.conf)

    @made_once
    def router(self) -> Router:
        """Where its tasks go."""
        return Router(self.queues, self.conf.task_routes)

    @made_once
    def broker(self) -> Broker:
        """Where it publishes (``broker_write_url``); opened at the first use."""
        from celeriac.app.connections import make_broker

        return make_broker(self.conf, self.conf.broker_write_url, self.name)

    @made_once
    def broker_for_read(self) -> Broker:
        """Where workers fetch from (``broker_read_url``)."""
        from celeriac.app.connections import make_broker

        return make_broker(self.conf, self.conf.broker_read_url, self.name)

    @made_once
    def backend(self) -> AppBackend:
        """Where results are kept (``result_backend``)."""
        from celeriac.app.connections import make_backend

        return backend_of(cast("Celery", self), make_backend(self.conf, self.name, self))

    @made_once
    def publisher(self) -> Publisher:
        """What publishes its messages."""
        conf = self.conf
        policy = RetryPolicy.from_mapping(conf.task_publish_retry_policy or {}) if conf.task_publish_retry else None
        announce = self.events.sent if conf.task_send_sent_event else None
        return Publisher(self.sessions, conf.broker_publish_timeout, policy, announce)

    @made_once
    def events(self) -> Events:
        """Events of workers and tasks: receivers, dispatchers, states."""
        from celeriac.app.events import Events

        cls: Any = Events if self._events_cls is None else symbol_by_name(self._events_cls)
        return cast("Events", cls(self))

    @made_once
    def clock(self) -> LamportClock:
        """The logical clock of this process, which events carry."""
        return LamportClock()

    @made_once
    def amqp(self) -> AMQP:
        """Queues and routes, under Celery's names."""
        from celeriac.app.amqp import AMQP

        return AMQP(cast("Celery", self))

    def forget_routes(self) -> None:
        """Route anew: queues or routes were changed in place."""
        self._settings_changed()

    @made_once
    def log(self) -> Logging:
        """Logging, under Celery's names."""
        from celeriac.app.log import Logging

        cls: Any = Logging if self._log_cls is None else symbol_by_name(self._log_cls)
        return cast("Logging", cls(self))

    @property
    def has_own_logging(self) -> bool:
        """It was given a class for `log`."""
        return self._log_cls is not None

    @made_once
    def pool(self) -> Pool[PooledConnection]:
        """Connections that are used in turn; calls of tasks do not need them."""
        from celeriac.app.pools import connection_pool

        return connection_pool(cast("Celery", self))

    @made_once
    def producer_pool(self) -> Pool[PooledProducer]:
        """Producers that are used in turn; calls of tasks do not need them."""
        from celeriac.app.pools import producer_pool

        return producer_pool(cast("Celery", self))

    def connection_or_acquire(self, connection: Any = None, pool: bool = True) -> Any:
        """A connection for a ``with`` block.

        Args:
            connection: This one, which stays open afterwards; None takes one.
            pool: Take it from the pool, where it returns; else it is a new one, which is closed.
        """
        if connection is not None:
            return nullcontext(connection)
        return self.pool.acquire(block=True) if pool else self.connection_for_write()

    default_connection = connection_or_acquire

    def producer_or_acquire(self, producer: Any = None) -> Any:
        """A producer for a ``with`` block.

        Args:
            producer: This one; None takes one from the pool, where it returns.
        """
        return nullcontext(producer) if producer is not None else self.producer_pool.acquire(block=True)

    default_producer = producer_or_acquire

    def connection_for_read(self, url: str | None = None) -> Connection:
        """A connection of its own to the broker that workers fetch from.

        Args:
            url: Another broker; None is ``broker_read_url``.
        """
        return self._connect(self.broker_for_read, url, self.conf.broker_read_url)

    def connection_for_write(self, url: str | None = None) -> Connection:
        """A connection of its own to the broker that calls are published to.

        Args:
            url: Another broker; None is ``broker_write_url``.
        """
        return self._connect(self.broker, url, self.conf.broker_write_url)

    connection = connection_for_write

    def _connect(self, broker: Broker, url: str | None, usual: str | None) -> Connection:
        from celeriac.app.connection import Connection
        from celeriac.app.connections import full_url, make_broker

        if url is not None:
            broker = make_broker(self.conf, url, self.name)
        known = full_url(self.conf, url or usual or self.conf.broker_url, broker)
        return Connection(broker, heartbeat=self.conf.broker_lease / 3, publisher=self.publisher, url=known)

    @made_once
    def control_sessions(self) -> Sessions:
        """Sessions of remote control, which keep a queue for replies each."""
        return Sessions(lambda: self.broker)

    @made_once
    def control(self) -> Control:
        """Remote control of its workers."""
        # Most clients only call tasks.
        from celeriac.control.client import Control

        cls = Control if self._control_cls is None else symbol_by_name(self._control_cls)
        return cast("Control", cls(self))

    @made_once
    def always_eager(self) -> bool:
        """Calls run in place (``task_always_eager``)."""
        return bool(self.conf.task_always_eager)

    @made_once
    def accept_content(self) -> frozenset[str]:
        """MIME types that its workers decode."""
        return self.serializers.accept_set(self.conf.accept_content)

    @made_once
    def annotations(self) -> list[Any]:
        """What ``task_annotations`` says."""
        return compile_annotations(self.conf.task_annotations)

    @made_once
    def timezone(self) -> tzinfo:
        """Time zone of its dates."""
        conf = self.conf
        if conf.timezone:
            return get_timezone(conf.timezone)
        if conf.enable_utc:
            return UTC
        return cast("tzinfo", datetime.now().astimezone().tzinfo)

    @made_once
    def serializers(self) -> SerializerRegistry:
        """The serializers it knows."""
        from celeriac.serialization.serializers import registry

        return registry

    @property
    def name(self) -> str:
        """Name of the file of the embedded broker: ``main``, or ``default``."""
        return self.main or "default"

    def default_url(self) -> str:
        """The broker of an app that configures none."""
        from celeriac.app.connections import EMBEDDED_URL

        return EMBEDDED_URL

    def now(self) -> datetime:
        """Now, in its time zone."""
        return datetime.now(self.timezone)

    @property
    def oid(self) -> str:
        """Id of this process and thread in messages."""
        return self.sessions.oid

    @property
    def thread_oid(self) -> str:
        """The same: one id per thread."""
        return self.sessions.oid

    def select_queues(self, queues: str | Iterable[str] | None = None) -> None:
        """Consume from these queues only."""
        self.queues.select(queues)

    @made_once
    def AsyncResult(self) -> type[AsyncResultBase[Any]]:
        """`AsyncResult`, bound to this app."""
        from celeriac.result import AsyncResult as AsyncResultBase

        return type("AsyncResult", (AsyncResultBase,), {"app": self, "__module__": AsyncResultBase.__module__})

    @made_once
    def GroupResult(self) -> type[GroupResultBase]:
        """`GroupResult`, bound to this app."""
        from celeriac.result import GroupResult as GroupResultBase

        return type("GroupResult", (GroupResultBase,), {"_app": self, "__module__": GroupResultBase.__module__})

    @made_once
    def ResultSet(self) -> type[ResultSetBase]:
        """`ResultSet`, bound to this app."""
        from celeriac.result import ResultSet as ResultSetBase

        return type("ResultSet", (ResultSetBase,), {"_app": self, "__module__": ResultSetBase.__module__})
