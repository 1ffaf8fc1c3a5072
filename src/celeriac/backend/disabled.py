"""The backend of an app without a result backend: it keeps nothing, and says so when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from celeriac.backend.base import BackendCapabilities, BackendOptions
from celeriac.backend.chordless import WithoutChords

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from celeriac.backend.base import ResultRecord


class DisabledBackend(WithoutChords):
    """Takes results and drops them, as ``result_backend = "disabled://"`` asks; reading raises.

    Args:
        url: ``disabled://``.
        options: Settings common to all drivers.
    """

    def __init__(self, url: str = "disabled://", options: BackendOptions | None = None) -> None:
        self.url = "disabled://"
        self.options = options or BackendOptions()
        self.capabilities = BackendCapabilities("disabled", enabled=False, persistent=False, groups=False, chords=False)

    def expect(self, task_ids: Sequence[str]) -> str | None:
        return None

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        """Drop them: a worker without a backend runs tasks all the same."""

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        _refuse()

    def open_watch(self) -> NoReturn:
        _refuse()

    def watch(self, task_ids: Collection[str], *, timeout: float | None) -> NoReturn:
        _refuse()

    def forget_many(self, task_ids: Sequence[str]) -> None:
        _refuse()

    def save_group(self, group_id: str, result: Any) -> None:
        _refuse()

    def load_group(self, group_id: str) -> Any | None:
        _refuse()

    def delete_group(self, group_id: str) -> None:
        _refuse()

    def sweep(self) -> int:
        return 0

    def close(self) -> None:
        """There is no connection."""


def _refuse() -> NoReturn:
    raise NotImplementedError(
        "No result backend is configured. Set result_backend, for example to sqlite:// or redis://localhost/0, "
        "in the client and in the worker."
    )
