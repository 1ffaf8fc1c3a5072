from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac import Celery

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("proj", broker=f"memory://{unique_name}", backend=f"memory://{unique_name}") as app:
        yield app
