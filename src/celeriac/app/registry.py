"""The tasks of an application by name.  It neither makes nor runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.exceptions import NotRegistered

if TYPE_CHECKING:
    from celeriac.app.task import Task

__all__ = ["TaskRegistry"]


class TaskRegistry(dict[str, "Task[..., Any]"]):
    """Tasks by name; a missing one raises `NotRegistered`."""

    def __missing__(self, key: str) -> Task[..., Any]:
        raise NotRegistered(key)

    def register(self, task: Any) -> None:
        """Add a task, given as an instance or a class.

        Raises:
            ValueError: It has no name.
        """
        if isinstance(task, type):
            task = task()
        if not getattr(task, "name", None):
            raise ValueError(f"Task {type(task).__name__!r} has no name: set the attribute 'name'")
        self[task.name] = task

    def unregister(self, name: str | Task[..., Any]) -> None:
        """Remove a task, given by name or as itself.

        Raises:
            NotRegistered: It is not here.
        """
        key: str = getattr(name, "name", name)  # type: ignore[arg-type]
        try:
            self.pop(key)
        except KeyError:
            raise NotRegistered(key) from None

    def regular(self) -> dict[str, Task[..., Any]]:
        """Tasks of the type ``regular``."""
        return self.filter_types("regular")

    def periodic(self) -> dict[str, Task[..., Any]]:
        """Tasks of the type ``periodic``."""
        return self.filter_types("periodic")

    def filter_types(self, type_: str) -> dict[str, Task[..., Any]]:
        """Tasks whose attribute ``type`` is ``type_``."""
        return {name: task for name, task in self.items() if getattr(task, "type", "regular") == type_}
