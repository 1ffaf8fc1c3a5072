"""Names of Celery about the current app and task, and small functions that need an app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac import current
from celeriac.app import shared
from celeriac.app.shared import current_app, current_task, shared_task
from celeriac.current import get_current_app, get_current_task, set_default_app
from celeriac.events import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celeriac.broker.topology import Exchange

__all__ = [
    "app_or_default",
    "appstr",
    "connect_on_app_finalize",
    "current_app",
    "current_task",
    "disable_trace",
    "enable_trace",
    "flatten_reply",
    "get_available_pool_names",
    "get_current_app",
    "get_current_task",
    "get_current_worker_task",
    "get_exchange",
    "group_from",
    "pop_current_task",
    "push_current_task",
    "set_default_app",
    "shared_task",
    "tasks",
    "unpickle_task",
]

default_app: Any = current_app
#: The tasks of the current app.
tasks: Any = shared.Proxy(lambda: current.get_current_app().tasks)


def app_or_default(app: Any = None) -> Any:
    """The app, or the current one."""
    return get_current_app() if app is None else app


def appstr(app: Any) -> str:
    """An app in texts for people: name and address."""
    return f"{app.main or '__main__'} at {id(app):#x}"


def get_current_worker_task() -> Any:
    """The task whose message this process is working on; a task that it calls as a function is not meant."""
    wanted = current.get_current_worker_request()
    for task, request in reversed(current._stack.get()):
        if request is wanted and wanted is not None:
            return task
    return None


_tokens: list[Any] = []


def push_current_task(task: Any) -> None:
    """Let a task be the current one until `pop_current_task`."""
    _tokens.append(current.push_task(task, current.Context()))


def pop_current_task() -> None:
    """Undo the last `push_current_task`."""
    current.pop_task(_tokens.pop())


def unpickle_task(name: str, module: str | None = None) -> Any:
    """The task of the current app that a pickle of Celery names.

    Args:
        name: Its name.
        module: Imported first, as it declares the task.
    """
    if module:
        __import__(module)
    app: Any = get_current_app()
    return app.tasks[name]


def connect_on_app_finalize(callback: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have every app call a function when it is finalized; those that are, do so now."""
    shared.declarations[f"{callback.__module__}.{callback.__qualname__}:{id(callback)}"] = callback
    for app in list(shared.apps):
        if app.finalized:
            callback(app)
    return callback


def enable_trace() -> None:
    """Refused: there is no tracing of which app is used where.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError("celery.app.enable_trace() is not built in Celeriac: pass the app explicitly instead")


def disable_trace() -> None:
    """Nothing to do: nothing is traced."""


def flatten_reply(reply: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Answers of many nodes, each a mapping of one node, as one mapping."""
    return {node: answer for each in reply for node, answer in each.items()}


def get_available_pool_names() -> tuple[str, ...]:
    """The names of pools."""
    from celeriac.worker.assembly import RUNNERS

    return tuple(RUNNERS)


def get_exchange(conn: Any, name: str | None = None) -> Exchange:
    """The exchange of events on a connection.

    Args:
        conn: A connection of the app.
        name: Its name; None is the setting ``event_exchange`` of the current app.
    """
    exchange = wire.event_exchange(get_current_app().conf, conn.broker.capabilities)
    return exchange if name is None else type(exchange)(name, exchange.type)


def group_from(type: str) -> str:
    """The group of a type of events: ``task`` of ``task-sent``."""
    return type.partition("-")[0]
