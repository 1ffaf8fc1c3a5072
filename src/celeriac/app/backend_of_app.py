"""`app.backend`: a driver that also answers to the names of Celery's backends.

Drivers know the small port alone (`celeriac.backend.base`).  Celery's names are for those who call it; they are looked
up where the driver has none, so that nothing is loaded for who does not use them (`celeriac.app.backend_calls`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from celeriac.app.backend_calls import BackendCalls
    from celeriac.app.base import Celery
    from celeriac.backend.base import ResultBackend

    class AppBackend(ResultBackend, BackendCalls):
        """What `backend_of` makes: both at once."""

        app: Celery


__all__ = ["backend_of"]


def backend_of(app: Celery, backend: ResultBackend) -> AppBackend:
    """Let a backend answer to Celery's names; returns the same object.

    Args:
        app: Whose backend it is from now on.
        backend: What a driver made.
    """
    cls: Any = type(backend)

    class OfApp(cls):  # type: ignore[misc]
        __slots__ = ()

        def save_group(self, group_id: str, result: Any) -> None:
            """Store a GroupResult, as in Celery, or its tuple form, as in the port."""
            super().save_group(group_id, result.as_tuple() if hasattr(result, "as_tuple") else result)

        def __getattr__(self, name: str) -> Any:
            of_driver: Any = getattr(super(), "__getattr__", None)
            if of_driver is not None:
                try:
                    return of_driver(name)
                except AttributeError:
                    pass
            return _celery_s(self, name)

    OfApp.__name__, OfApp.__qualname__, OfApp.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    OfApp.app = app
    if app.conf.result_backend_always_retry:
        from celeriac.app.backend_retries import add_retries

        add_retries(OfApp, app.conf)
    backend.__class__ = OfApp
    return cast("AppBackend", backend)


def _celery_s(backend: Any, name: str) -> Any:
    """An attribute of Celery's backends, as this one has it."""
    if not name.startswith("_"):
        from celeriac.app.backend_calls import BackendCalls

        if hasattr(BackendCalls, name):
            return getattr(BackendCalls(backend, backend.app), name)
    raise AttributeError(
        f"app.backend ({type(backend).__name__}) has no attribute {name!r}; what it has is in "
        "celeriac.backend.base.ResultBackend and celeriac.app.backend_calls.BackendCalls"
    )
