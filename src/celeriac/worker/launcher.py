"""`app.Worker(...)`: options by the names of Celery's worker, made into a `Worker`.  It starts nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac import unbuilt
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.assembly import Worker, WorkerOptions

if TYPE_CHECKING:
    from celeriac.app.base import Celery

__all__ = ["make_worker"]

#: Options that turn off what is not there.
_NOTHING_TO_TURN_OFF: Final = frozenset({"without_gossip", "without_mingle"})
_LISTS: Final = frozenset({"queues", "exclude_queues", "include"})


def make_worker(app: Celery, options: dict[str, Any]) -> Worker:
    """A worker of an app.

    Args:
        app: The application.
        options: Attributes of `WorkerOptions`; lists may be strings with commas.

    Raises:
        TypeError: An option is unknown.
        ImproperlyConfigured: An option is not built yet.
    """
    given = {name: value for name, value in options.items() if name not in _NOTHING_TO_TURN_OFF and value is not None}
    for name, what in unbuilt.WORKER_OPTIONS.items():
        if given.pop(name, None):
            raise ImproperlyConfigured(f"app.Worker({name}={options[name]!r}): not built yet: {what}; leave it out")
    if "pool_cls" in given:
        given["pool"] = given.pop("pool_cls")
    if "events" in given:
        given["task_events"] = given.pop("events")
    if given.pop("disable_prefetch", False):
        app.conf.worker_disable_prefetch = True
    for name in _LISTS & given.keys():
        if isinstance(given[name], str):
            given[name] = [part.strip() for part in given[name].split(",") if part.strip()]
    known = sorted(WorkerOptions.__match_args__)
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise TypeError(f"app.Worker() got unexpected options {unknown}; known are {known}")
    return Worker(app, WorkerOptions(**given))
