"""`Request`, as in ``celery.worker.request``: what type annotations and ``isinstance`` mean by it."""

from __future__ import annotations

from typing import Any

from celeriac.current import Context
from celeriac.exceptions import ImproperlyConfigured

__all__ = ["Request"]


class _Meta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Context)


class Request(metaclass=_Meta):
    """The request of a task, as far as there is one here: ``task.request``.

    Raises:
        ImproperlyConfigured: It is subclassed, or made.
    """

    def __init_subclass__(cls) -> None:
        raise ImproperlyConfigured(
            f"{cls.__module__}.{cls.__qualname__}: requests of one's own are not supported by Celeriac's worker; "
            "use handlers of the task (on_failure, on_retry …) or signals"
        )

    def __init__(self, *_args: Any, **_options: Any) -> None:
        raise ImproperlyConfigured("Requests are made by Celeriac's worker; the one of a task is task.request")
