"""The results of a group: `GroupResult`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.current import get_current_app
from celeriac.result.result_set import ResultSet
from celeriac.result.stored import result_from_tuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from celeriac.backend.base import ResultBackend
    from celeriac.current import AppLike


class GroupResult(ResultSet):
    """Results of a group, which can be saved under the group's id.

    Args:
        id: Id of the group.
        results: Results of its tasks.
        parent: Result before it.
        app: The app; None is the current one.
    """

    def __init__(
        self,
        id: str | None = None,
        results: Iterable[Any] | None = None,
        parent: Any = None,
        app: AppLike | None = None,
        **kwargs: Any,
    ) -> None:
        self.id = id
        self.parent = parent
        super().__init__(results or (), app=app, **kwargs)

    @property
    def children(self) -> list[Any]:
        """Results of its tasks."""
        return self.results

    def save(self, backend: ResultBackend | None = None) -> Self:
        """Store it, so that `restore` can find it by its id; returns itself."""
        (backend or self.app.backend).save_group(str(self.id), self.as_tuple())
        return self

    def delete(self, backend: ResultBackend | None = None) -> None:
        """Delete what `save` stored."""
        (backend or self.app.backend).delete_group(str(self.id))

    @classmethod
    def restore(
        cls,
        id: str,
        backend: ResultBackend | None = None,
        app: AppLike | None = None,
    ) -> Any:
        """A saved group, or None."""
        owner = app or cls._app or get_current_app()
        stored = (backend or owner.backend).load_group(id)
        return None if stored is None else result_from_tuple(stored, app=owner)

    def as_tuple(self) -> tuple[Any, Any]:
        """The form in which it is stored: ``((id, parent), [...])``."""
        parent = self.parent
        return (self.id, parent and parent.as_tuple()), [result.as_tuple() for result in self.results]

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id} [{', '.join(r.id for r in self.results)}]>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return bool(other.id == self.id and other.results == self.results and other.parent == self.parent)
        return other == self.id if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return GroupResult, (self.id, self.results, self.parent)
