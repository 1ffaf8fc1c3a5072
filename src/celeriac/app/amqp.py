"""``app.amqp``: where calls go, under the names that Celery has for it.  It adds nothing to `queues` and `router`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.app import queues, routing

if TYPE_CHECKING:
    from celeriac.app.base import Celery
    from celeriac.broker.topology import Exchange, Queue

__all__ = ["AMQP"]


class AMQP:
    """Queues, routes and producers of an app.

    Args:
        app: The app.
    """

    Queues = queues.Queues
    Router = routing.Router

    def __init__(self, app: Celery) -> None:
        self.app = app

    @property
    def queues(self) -> queues.Queues:
        """The queues the app knows."""
        return self.app.queues

    @property
    def router(self) -> routing.Router:
        """Where its tasks go."""
        return self.app.router

    @property
    def routes(self) -> Any:
        """The setting ``task_routes``."""
        return self.app.conf.task_routes

    @property
    def default_queue(self) -> Queue:
        """Where calls go that nothing else is said about."""
        return self.app.queues.default

    @property
    def default_exchange(self) -> Exchange | None:
        """The exchange of that queue."""
        return self.default_queue.exchange

    @property
    def producer_pool(self) -> Any:
        """The producers of the app."""
        return self.app.producer_pool

    publisher_pool = producer_pool

    @property
    def utc(self) -> bool:
        """The setting ``enable_utc``."""
        return bool(self.app.conf.enable_utc)

    def flush_routes(self) -> None:
        """Take a ``task_routes`` that was changed in place into account."""
        self.app.forget_routes()
