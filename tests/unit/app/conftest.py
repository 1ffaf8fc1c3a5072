from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.message import Delivery


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("proj", broker=f"memory://{unique_name}", backend=f"memory://{unique_name}") as app:
        yield app


@pytest.fixture
def sent(app: Celery) -> Callable[..., list[Delivery]]:
    """What waits in queues; reading takes it out."""

    def fetch(*queues: str) -> list[Delivery]:
        session: Any = app.broker.connect()
        session.consume([app.queues.get_or_create(name) for name in queues or ("celery",)])
        found: list[Delivery] = session.fetch(limit=10_000, wait=0)
        session.ack_many(found)
        session.close()
        return found

    return fetch
