from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.exceptions import Ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Sent = list[tuple[dict[str, Any], Any]]


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("p", broker=f"memory://{unique_name}", backend=f"memory://{unique_name}", strict_typing=False) as app:
        declare = {"shared": False}

        @app.task(name="p.add", **declare)
        def add(x: Any, y: Any) -> Any:
            return x + y

        @app.task(name="p.fail", **declare)
        def fail(*args: Any) -> None:
            raise ValueError("on purpose")

        @app.task(name="p.ignore", **declare)
        def ignore(*args: Any) -> None:
            raise Ignore

        yield app


@pytest.fixture
def sent(app: Celery) -> Callable[[], Sent]:
    """Headers and bodies of what waits in the default queue; reading takes it out."""

    def read() -> Sent:
        session: Any = app.broker.connect()
        session.consume([app.queues.default])
        deliveries = session.fetch(limit=100_000, wait=0)
        session.ack_many(deliveries)
        session.close()
        accept = frozenset({"application/json"})
        return [
            (each.message.headers, app.serializers.loads(each.message.body, "application/json", "utf-8", accept))
            for each in deliveries
        ]

    return read
