"""The methods of Celery's backends, for who calls them: ``app.backend.get_result(task_id)``.

Each is written in terms of the port and of what workers do at the end of a task.  Nothing of Celeriac calls them; base
classes for stores of third parties are another matter.
"""

from __future__ import annotations

from typing import ClassVar

from celeriac import states
from celeriac.app.backend_calls.chords import ChordCalls
from celeriac.app.backend_calls.forms import FormCalls
from celeriac.app.backend_calls.reading import ReadingCalls
from celeriac.app.backend_calls.storing import StoringCalls
from celeriac.exceptions import TimeoutError

__all__ = ["BackendCalls"]


class BackendCalls(ReadingCalls, StoringCalls, ChordCalls, FormCalls):
    """A result store, seen as one of Celery's.

    Args:
        backend: The store.
        app: Whose it is.
    """

    READY_STATES: ClassVar = states.READY_STATES
    UNREADY_STATES: ClassVar = states.UNREADY_STATES
    EXCEPTION_STATES: ClassVar = states.EXCEPTION_STATES
    #: Raised when time is up.
    TimeoutError: ClassVar = TimeoutError
    #: Many results are waited for in one go.
    supports_native_join: ClassVar[bool] = True
    #: Waiting is by notification.
    is_async: ClassVar[bool] = True
    #: Threads share it.
    thread_safe: ClassVar[bool] = True
    #: Nothing is looked at again and again.
    subpolling_interval: ClassVar[float | None] = None

    def cleanup(self) -> int:
        """Delete what has expired; returns how much. Stores that do it by themselves have nothing to do."""
        return self._backend.sweep()

    def process_cleanup(self) -> None:
        """Drop every connection; it may be used again."""
        self._backend.close()
