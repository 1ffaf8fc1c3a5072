"""`TestApp`, an app whose broker and results are in the memory of the process and its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from celeriac import current
from celeriac.app.base import Celery
from celeriac.backend import memory as results_in_memory
from celeriac.broker import memory as messages_in_memory
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DEFAULT_TEST_CONFIG", "TestApp", "Trap", "setup_default_app"]

#: Settings of a `TestApp` that is given no others.
DEFAULT_TEST_CONFIG: Final[Mapping[str, Any]] = {
    "worker_hijack_root_logger": False,
    "worker_log_color": False,
    "accept_content": ["json"],
    "enable_utc": True,
    "timezone": "UTC",
    "broker_heartbeat": 0,
}


class Trap:
    """Stands in for the current app where a test must not depend on it."""

    def __getattr__(self, name: str) -> NoReturn:
        # Whoever looks at it from outside does not depend on it.
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(
            f"The test depends on the current app (it asked for its {name!r}): use the fixture depends_on_current_app, "
            "or give the app"
        )


class TestApp(Celery):
    """An app for a test.

    Without a broker or a result store of its own it has ones in memory that no other app sees; `close` empties them.

    Args:
        name: ``main``; None is the name of this module.
        config: Settings that count below those given otherwise; they replace `DEFAULT_TEST_CONFIG`.
        enable_logging: Workers of `start_worker` configure logging.
        set_as_current: Make it the current app of this thread.
        log: As for `Celery`.
        backend: The setting ``result_backend``.
        broker: The setting ``broker_url``.
        **kwargs: As for `Celery`.
    """

    __test__ = False

    def __init__(
        self,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        enable_logging: bool = False,
        set_as_current: bool = False,
        log: Any = None,
        backend: Any = None,
        broker: Any = None,
        **kwargs: Any,
    ) -> None:
        self.enable_logging = enable_logging
        self._place = f"memory://test-{uuid4()}"
        super().__init__(
            name or __name__, set_as_current=set_as_current, log=log, backend=backend, broker=broker, **kwargs
        )
        self.add_defaults({"broker_url": self._place, "result_backend": self._place, **DEFAULT_TEST_CONFIG})
        if config:
            self.add_defaults(config)

    def close(self) -> None:
        """Close its connections and empty what it has in memory."""
        super().close()
        messages_in_memory.forget(self._place)
        results_in_memory.forget(self._place)


@contextmanager
def setup_default_app(app: Any, use_trap: bool = False) -> Iterator[None]:
    """For a while, be without the current and the default app of before; then they are back.

    Args:
        app: The app under test, which becomes both.
        use_trap: Nothing becomes either: who asks for the current app gets an error.
    """
    before, default = current.current_apps()
    placed: Any = Trap() if use_trap else app
    current.restore_apps(placed, placed)
    try:
        yield
    finally:
        current.restore_apps(before, default)
