"""Where a task goes: routers, queues and exchanges merged into one `Destination`.  It sends nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from celeriac.broker.shapes import as_exchange, as_queue
from celeriac.broker.topology import Broadcast, Exchange, Queue
from celeriac.exceptions import ImproperlyConfigured
from celeriac.message import Destination
from celeriac.utils.imports import symbol_by_name

if TYPE_CHECKING:
    from celeriac.app.queues import Queues

__all__ = ["Router", "compile_routes"]

Route = dict[str, Any]
RouteFunction = Callable[..., Any]


class _MapRoute:
    """A mapping of task names, globs and regular expressions to routes."""

    def __init__(self, mapping: Mapping[Any, Any]) -> None:
        self._exact: dict[str, Any] = {}
        self._patterns: list[tuple[re.Pattern[str], Any]] = []
        for key, value in mapping.items():
            if not isinstance(key, str | re.Pattern):
                raise ImproperlyConfigured(f"task_routes has the key {key!r}: use names, globs or compiled patterns")
            if not (value is None or isinstance(value, str | Queue | Mapping)):
                raise ImproperlyConfigured(
                    f"task_routes has the route {value!r} for {str(key)!r}: use the name of a queue, or a mapping"
                )
            if isinstance(key, re.Pattern):
                self._patterns.append((key, value))
            elif "*" in key or "?" in key or "[" in key:
                self._patterns.append((re.compile(translate(key)), value))
            else:
                self._exact[key] = value

    def find(self, name: str) -> Any:
        try:
            return self._exact[name]
        except KeyError:
            for pattern, route in self._patterns:
                if pattern.match(name):
                    return route
        return None


def compile_routes(routes: Any) -> list[_MapRoute | RouteFunction]:
    """Make a list of routers of the setting ``task_routes``.

    Args:
        routes: A mapping of task names, globs or compiled patterns to routes; a function; a dotted path of one; an
            object with a method ``route_for_task``; or a list of those and of pairs (name, route).

    Raises:
        ImproperlyConfigured: It is none of these.
    """
    if routes is None or (not routes and not callable(routes)):
        return []
    if isinstance(routes, Mapping) or not isinstance(routes, list | tuple):
        return [_compile_route(routes)]
    if all(isinstance(item, list | tuple) and len(item) == 2 for item in routes):
        return [_MapRoute(dict(routes))]
    return [_compile_route(item) for item in routes]


def _compile_route(route: Any) -> _MapRoute | RouteFunction:
    if isinstance(route, str):
        route = symbol_by_name(route)
    if isinstance(route, type):
        route = route()
    if isinstance(route, Mapping):
        return _MapRoute(route)
    if isinstance(route, list | tuple):
        return _MapRoute(_paired(route))
    by_method = getattr(route, "route_for_task", None)
    if by_method is not None:
        return lambda name, args, kwargs, options, task=None, **_: by_method(name, args, kwargs)
    if callable(route):
        return route  # type: ignore[no-any-return]
    raise ImproperlyConfigured(
        f"task_routes has the entry {route!r}: use a mapping, a function, a dotted path, or a list of them"
    )


def _paired(routes: Any) -> dict[Any, Any]:
    try:
        return dict(routes)
    except (TypeError, ValueError):
        raise ImproperlyConfigured(f"task_routes has the entry {routes!r}: use pairs (name, route) in a list") from None


class Router:
    """Merges routers and the options of a call.

    Args:
        queues: Known queues.
        routes: The setting ``task_routes``.

    Attributes:
        is_static: No router is a function: a task's route depends on its name and options alone.
    """

    def __init__(self, queues: Queues, routes: Any) -> None:
        self._queues = queues
        self._routes = compile_routes(routes)
        # By name, because drivers remember by identity what they have declared.
        self._nameless: dict[str, Queue] = {}
        self.is_static = all(isinstance(route, _MapRoute) for route in self._routes)

    def route(
        self,
        options: Mapping[str, Any],
        name: str,
        args: Any = (),
        kwargs: Any = None,
        task: Any = None,
    ) -> Route:
        """Options of a call with its queue in them, as an object.

        Options given with the call win over those of a router.

        Args:
            options: Options of the call.
            name: Name of the task.
            args: Its arguments, for routers that look at them.
            kwargs: Its keyword arguments.
            task: The task, when it is registered.

        Raises:
            QueueNotFound: A queue is unknown and may not be created.
        """
        merged = self._expand(options)
        found = self._look_up(name, args, kwargs, options, task)
        if found:
            merged = {**self._expand(found), **merged}
        if merged.get("queue") is None:
            merged["queue"] = self._queues.default
        return merged

    def _look_up(self, name: str, args: Any, kwargs: Any, options: Mapping[str, Any], task: Any) -> Any:
        for route in self._routes:
            found = route.find(name) if isinstance(route, _MapRoute) else route(name, args, kwargs, options, task=task)
            if found is not None:
                return found
        return None

    def _expand(self, route: Any) -> Route:
        """Turn a route into options: a plain string is the name of a queue."""
        route = as_queue(route)
        if isinstance(route, str | Queue):
            route = {"queue": route}
        if not isinstance(route, Mapping):
            raise ImproperlyConfigured(f"A route must be a queue name or a mapping of options, got {route!r}")
        expanded = {key: value for key, value in route.items() if value is not None}
        queue = as_queue(expanded.get("queue"))
        if isinstance(queue, str):
            expanded["queue"] = self._queues.get_or_create(queue)
        elif isinstance(queue, Queue):
            expanded["queue"] = self._queues.get(queue.name) or self._queues.add(queue)
        return expanded

    def destination(self, route: Mapping[str, Any]) -> Destination:
        """Where a routed call goes.

        With a direct exchange, and unless both ``exchange`` and ``routing_key`` are given, a message is published
        to the default exchange under the name of its queue, as Celery does.

        What is declared before is the queue, unless ``declare`` says something else, or it is a `Broadcast`: the
        queues of that belong to its consumers.

        Args:
            route: What `route` returned.
        """
        queue: Queue = route["queue"]
        exchange, routing_key = as_exchange(route.get("exchange")), route.get("routing_key")
        own = queue.exchange or self._queues.default_exchange
        kind = route.get("exchange_type") or own.type
        if isinstance(exchange, Exchange):
            kind, exchange = exchange.type, exchange.name
        if kind == "direct" and not (exchange and routing_key):
            return Destination("", queue.name, None if "declare" in route else queue)
        name, key = exchange or own.name, routing_key or queue.routing_key or self._queues.default_routing_key
        if "declare" in route:
            return Destination(name, key)
        return Destination(name, key, self.exchange_alone(own) if isinstance(queue, Broadcast) else queue)

    def exchange_alone(self, exchange: Exchange) -> Queue:
        """What to declare for an exchange without a queue of it."""
        found = self._nameless.get(exchange.name)
        if found is None:
            found = self._nameless[exchange.name] = Queue("", exchange, no_declare=True)
        return found

    def to_declare(self, wanted: Any) -> tuple[Queue, ...]:
        """Queues of the option ``declare``: queues and exchanges, or names of queues.

        Raises:
            ImproperlyConfigured: There is something else among them.
        """
        wanted = as_exchange(as_queue(wanted))
        if isinstance(wanted, str | Queue | Exchange):
            wanted = [wanted]
        found: list[Queue] = []
        for given in wanted:
            item = as_exchange(as_queue(given))
            if isinstance(item, str):
                found.append(self._queues.get_or_create(item))
            elif isinstance(item, Exchange):
                found.append(self.exchange_alone(item))
            elif isinstance(item, Queue):
                found.append(item)
            else:
                raise ImproperlyConfigured(
                    f"The option declare takes queues, their names, and exchanges, got {item!r} among {wanted!r}"
                )
        return tuple(found)
