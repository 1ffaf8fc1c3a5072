"""Saved groups, and chords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.app.backend_calls.base import Calls
from celeriac.backend.base import ResultRecord
from celeriac.canvas.chord import require_chords
from celeriac.current import get_current_request
from celeriac.execution import chords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.current import Context


class ChordCalls(Calls):
    """Groups and chords."""

    def restore_group(self, group_id: str, cache: bool = True) -> Any:
        """A saved group, or None; ``cache`` is as in `get_task_meta`."""
        return self._app.GroupResult.restore(group_id, self._backend)

    def get_group_meta(self, group_id: str, cache: bool = True) -> dict[str, Any] | None:
        """A saved group as ``{"result": …}``, or None; ``cache`` is as in `get_task_meta`."""
        group = self.restore_group(group_id)
        return None if group is None else {"result": group}

    def reload_group_result(self, group_id: str) -> None:
        """Make sure that the next read is from the store, as each is; raises what reading raises."""
        self.restore_group(group_id)

    def ensure_chords_allowed(self) -> None:
        """Make sure that it can join chords.

        Raises:
            NotImplementedError: It cannot.
        """
        require_chords(self._app)

    def apply_chord(self, header_result_args: Sequence[Any], body: Any, **kwargs: Any) -> None:
        """Expect the results of a header; its tasks are sent afterwards, each with the body.

        Args:
            header_result_args: Arguments of `GroupResult`: id and results of the header.
            body: Has no effect: whoever records the last part has it with that.
            **kwargs: Have no effect: nobody looks at intervals.
        """
        self.ensure_chords_allowed()
        header = self._app.GroupResult(*header_result_args)
        self.set_chord_size(str(header.id), len(header))

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Expect so many parts of a chord."""
        self._backend.open_chord(group_id, chord_size)

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Expect one part more of a chord."""
        self._backend.grow_chord(chord_id, 1)

    def on_chord_part_return(self, request: Context, state: str, result: Any, **kwargs: Any) -> None:
        """Count the end of a task in its chord, and send the body if it was the last.

        Args:
            request: Of the task.
            state: Its state.
            result: Its value, or its exception.
            **kwargs: Have no effect.
        """
        part = chords.ended_part(self._app, request, ResultRecord(request.id or "", state, result))
        if part is not None:
            chords.record_parts([part])

    def fallback_chord_unlock(self, header_result: Any, body: Any, countdown: float = 1.0, **kwargs: Any) -> None:
        """Send the task that looks for the results of a header until they are there, and sends the body then.

        Args:
            header_result: `GroupResult` of the header.
            body: The body.
            countdown: Seconds before the first look.
            **kwargs: ``interval`` and ``max_retries`` of the task.
        """
        told = {"result": [each.as_tuple() for each in header_result], **kwargs}
        placed = {key: body.options[key] for key in ("queue", "priority") if key in body.options}
        self._app.tasks["celery.chord_unlock"].apply_async(
            (header_result.id, body), told, countdown=countdown, **placed
        )

    def current_task_children(self, request: Context | None = None) -> list[Any] | None:
        """Stored form of the results of the tasks that a request started; None is the running one."""
        request = request or get_current_request()
        return None if request is None else [each.as_tuple() for each in request.children]
