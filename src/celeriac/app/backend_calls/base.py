"""What all calls of a backend have in common: `Calls`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celeriac.app.base import Celery
    from celeriac.backend.base import ResultBackend


class Calls:
    """A result store, and the app whose it is."""

    def __init__(self, backend: ResultBackend, app: Celery) -> None:
        self._backend = backend
        self._app = app
