"""Waiting for results through the store, which is the results' own matter.  It reads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class PendingCalls:
    """Methods of a store that ask the result."""

    def wait_for_pending(
        self, result: Any, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Any = None, on_interval: Any = None, callback: Any = None, propagate: bool = True,
    ) -> Any:  # fmt: skip
        """Wait for a result, as its ``get`` does, without regard to its parents; returns its value."""
        return result.get(
            timeout, propagate, interval, no_ack, follow_parents=False, callback=callback, on_message=on_message,
            on_interval=on_interval, disable_sync_subtasks=False,
        )  # fmt: skip

    def iter_native(
        self, result: Any, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Any = None, on_interval: Any = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
        """Pairs of id and record of a set of results, in order of arrival."""
        found: Iterator[tuple[str, dict[str, Any]]] = result.iter_native(
            timeout, interval, no_ack, on_message, on_interval
        )
        return found
