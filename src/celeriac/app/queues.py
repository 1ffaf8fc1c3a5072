"""The queues an application knows, from its settings.  Declaring them on a server is the driver's job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from celeriac.broker.shapes import as_exchange, as_queue
from celeriac.broker.topology import Exchange, Queue
from celeriac.exceptions import ImproperlyConfigured, QueueNotFound
from celeriac.utils.nodenames import WORKER_DIRECT_EXCHANGE, worker_direct_queue

if TYPE_CHECKING:
    from celeriac.config import Settings

__all__ = ["Queues"]

_QUEUE_FIELDS = frozenset(Queue.__match_args__) - {"name"}
#: Options of a queue written as a mapping that describe its exchange.
_EXCHANGE_OPTIONS = {
    "exchange_type": "type",
    "exchange_durable": "durable",
    "exchange_auto_delete": "auto_delete",
    "exchange_arguments": "arguments",
    "delivery_mode": "delivery_mode",
}


class Queues(dict[str, Queue]):
    """Queues by name.

    Args:
        conf: Settings: ``task_queues``, ``task_default_*``, ``task_create_missing_*``, ``task_queue_max_priority``.

    Attributes:
        default: The queue of tasks that are not routed elsewhere.
    """

    def __init__(self, conf: Settings) -> None:
        super().__init__()
        self._create_missing: bool = conf.task_create_missing_queues
        self._missing_type: str = conf.task_create_missing_queue_type
        self._max_priority: int | None = conf.task_queue_max_priority
        name: str = conf.task_default_queue
        exchange_name = conf.task_default_exchange or name
        self._default_type: str = conf.task_default_exchange_type
        self._missing_exchange_type: str = conf.task_create_missing_queue_exchange_type or self._default_type
        self.default_exchange = Exchange(exchange_name, self._default_type)
        self.default_routing_key: str = conf.task_default_routing_key or name
        self._selected: dict[str, Queue] | None = None
        self._excluded: set[str] = set()
        self._aliases: dict[str, str] = {}
        if self._missing_type not in ("classic", "quorum"):
            raise ValueError(
                f"task_create_missing_queue_type must be 'classic' or 'quorum', got {self._missing_type!r}"
            )
        self._add_configured(conf.task_queues)
        if not self:
            self._add_default(name, conf.task_default_queue_type)
        self._default_name = name

    @property
    def default(self) -> Queue:
        """``task_default_queue``; created if it is not in ``task_queues``."""
        return self.get_or_create(self._default_name)

    def _add_configured(self, queues: Any) -> None:
        if not queues:
            return
        if isinstance(queues, Mapping):
            for name, given in queues.items():
                options = as_queue(given)
                self.add(options if isinstance(options, Queue) else name, **_options(name, options))
            return
        for given in queues if isinstance(queues, Iterable) and not isinstance(queues, str) else (queues,):
            queue = as_queue(given)
            if not isinstance(queue, Queue):
                raise ImproperlyConfigured(
                    f"task_queues must hold celeriac.Queue objects or be a mapping of names to options, got {queue!r}"
                )
            self.add(queue)

    def _add_default(self, name: str, queue_type: str) -> None:
        arguments = {"x-queue-type": "quorum"} if queue_type == "quorum" else None
        self._store(Queue(name, self.default_exchange, self.default_routing_key, queue_arguments=arguments))

    def add(self, queue: Queue | str, **options: Any) -> Queue:
        """Add a queue.

        Args:
            queue: The queue, or its name.
            **options: With a name: ``exchange``, ``exchange_type``, ``routing_key`` (or ``binding_key``) and
                attributes of `Queue`.

        Raises:
            ImproperlyConfigured: An option is unknown.
        """
        if isinstance(queue, str):
            queue = self._from_options(queue, options)
        changes: dict[str, Any] = {}
        if queue.exchange is None or not queue.exchange.name:
            changes["exchange"] = self.default_exchange
        # A fanout exchange needs no key; on Redis, as in kombu, a key would narrow what the queue gets.
        elif not queue.routing_key and queue.exchange.type == "fanout":
            return self._store(queue)
        if not queue.routing_key:
            changes["routing_key"] = self.default_routing_key
        return self._store(queue.but(**changes) if changes else queue)

    def _from_options(self, name: str, options: Mapping[str, Any]) -> Queue:
        given = dict(options)
        binding_key = given.pop("binding_key", None)
        routing_key = given.pop("routing_key", None) or binding_key
        exchange = as_exchange(given.pop("exchange", None))
        about_exchange = {attr: given.pop(key) for key, attr in _EXCHANGE_OPTIONS.items() if key in given}
        if not isinstance(exchange, Exchange):
            about_exchange.setdefault("type", self._default_type)
            exchange = Exchange(exchange or self.default_exchange.name, **about_exchange)
        unknown = sorted(given.keys() - _QUEUE_FIELDS)
        if unknown:
            raise ImproperlyConfigured(f"Queue {name!r} in task_queues has the unknown options {unknown}")
        if not routing_key:
            routing_key = "" if exchange.type == "fanout" else name
        return Queue(name, exchange, routing_key, **given)

    def _store(self, queue: Queue) -> Queue:
        arguments = queue.queue_arguments or {}
        if self._max_priority is not None and queue.max_priority is None and "x-max-priority" not in arguments:
            queue = queue.but(max_priority=self._max_priority)
        self[queue.name] = queue
        if queue.alias:
            self._aliases[queue.alias] = queue.name
        return queue

    def get_or_create(self, name: str) -> Queue:
        """A queue by name or alias.

        Raises:
            QueueNotFound: It is unknown and ``task_create_missing_queues`` is off.
        """
        queue = self.get(name) or self.get(self._aliases.get(name, ""))
        if queue is not None:
            return queue
        if not self._create_missing:
            raise QueueNotFound(
                f"Queue {name!r} is not in task_queues, and task_create_missing_queues is off; known are {sorted(self)}"
            )
        arguments = {"x-queue-type": "quorum"} if self._missing_type == "quorum" else None
        exchange = Exchange(name, self._missing_exchange_type)
        return self._store(Queue(name, exchange, name, queue_arguments=arguments))

    def select(self, names: str | Iterable[str] | None) -> None:
        """Consume from these queues only."""
        if names:
            names = names.split(",") if isinstance(names, str) else names
            self._selected = {name: self.get_or_create(name) for name in names}
            self._excluded.difference_update(self._selected)

    def select_add(self, queue: Queue | str, **options: Any) -> Queue:
        """Add a queue and consume from it too."""
        added = self.add(queue, **options) if options or isinstance(queue, Queue) else self.get_or_create(queue)
        if self._selected is not None:
            self._selected[added.name] = added
        self._excluded.discard(added.name)
        return added

    def deselect(self, names: str | Iterable[str]) -> None:
        """Do not consume from these queues."""
        chosen = names.split(",") if isinstance(names, str) else list(names)
        self._excluded.update(chosen)
        if self._selected is not None:
            for name in chosen:
                self._selected.pop(name, None)

    @property
    def consume_from(self) -> dict[str, Queue]:
        """The queues a worker takes from."""
        source = self if self._selected is None else self._selected
        return {name: queue for name, queue in source.items() if name not in self._excluded}


def _options(name: str, options: Any) -> Mapping[str, Any]:
    if isinstance(options, Queue):
        return {}
    if not isinstance(options, Mapping):
        raise ImproperlyConfigured(f"task_queues[{name!r}] must be a mapping of options, got {options!r}")
    return options


def worker_direct(hostname: str | Queue) -> Queue:
    """The queue that only one worker consumes, where ``worker_direct`` is set: ``task.apply_async(queue=...)``.

    Args:
        hostname: Node name, as in ``w1@example.com``; a queue is returned as it is.
    """
    if isinstance(hostname, Queue):
        return hostname
    return Queue(worker_direct_queue(hostname), Exchange(WORKER_DIRECT_EXCHANGE), hostname)
