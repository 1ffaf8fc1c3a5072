"""`app.Worker(...)`: options by the names of Celery's worker, made into a `Worker`.  It starts nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from celeriac.worker.assembly import Worker, WorkerOptions

if TYPE_CHECKING:
    from celeriac.app.base import Celery

__all__ = ["make_worker"]

#: Options that turn off what is not there.
_NOTHING_TO_TURN_OFF: Final = frozenset({"without_gossip"})
_LISTS: Final = frozenset({"queues", "exclude_queues", "include"})


W = TypeVar("W", bound=Worker)


def make_worker(app: Celery, options: dict[str, Any], cls: type[W] = Worker) -> W:  # type: ignore[assignment]
    """A worker of an app.

    Args:
        app: The application.
        options: Attributes of `WorkerOptions`; lists may be strings with commas.
        cls: Its class.

    Raises:
        TypeError: An option is unknown.
        ImproperlyConfigured: An option has an unusable value.
    """
    given = {name: value for name, value in options.items() if name not in _NOTHING_TO_TURN_OFF and value is not None}
    if "pool_cls" in given:
        given["pool"] = given.pop("pool_cls")
    if "events" in given:
        given["task_events"] = given.pop("events")
    if given.pop("without_mingle", False):
        given["mingle"] = False
    if given.pop("disable_prefetch", False):
        app.conf.worker_disable_prefetch = True
    for name in _LISTS & given.keys():
        if isinstance(given[name], str):
            given[name] = [part.strip() for part in given[name].split(",") if part.strip()]
    user = {str(option.name) for option in app.user_options.get("worker", ())}
    given["user"] = {name: given.pop(name) for name in user & given.keys()}
    known = sorted({*WorkerOptions.__match_args__, *user} - {"user"})
    unknown = sorted(given.keys() - {*known, "user"})
    if unknown:
        raise TypeError(f"app.Worker() got unexpected options {unknown}; known are {known}")
    return cls(app, WorkerOptions(**given))
