"""Modules imported, or run once more, in a process of a worker that is at work."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from celeriac.app import shared

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["refresh"]


def refresh(app: Any, modules: Iterable[str], *, reload: bool) -> None:
    """Import modules that are not imported yet.

    Args:
        app: The finalized application.
        modules: Their names.
        reload: Run the code of those that are imported once more; it declares its tasks anew.

    Raises:
        Exception: What importing one of them raises; the tasks of that one are as they were.
    """
    importlib.invalidate_caches()
    for name in modules:
        module = sys.modules.get(name)
        if module is None:
            importlib.import_module(name)
        elif reload:
            before = _forget(app, name)
            try:
                importlib.reload(module)
            except BaseException:
                for task_name, (task, declaration) in before.items():
                    app.tasks[task_name] = task
                    if declaration is not None:
                        shared.declarations[task_name] = declaration
                raise


def _forget(app: Any, module: str) -> dict[str, tuple[Any, Any]]:
    """Take the tasks of a module away: a declaration of a name that is known would leave it as it is."""
    found = {name: task for name, task in app.tasks.items() if _module_of(task) == module}
    for name in found:
        del app.tasks[name]
    return {name: (task, shared.declarations.pop(name, None)) for name, task in found.items()}


def _module_of(task: Any) -> str | None:
    function = getattr(task, "__wrapped__", None)
    return getattr(function, "__module__", None) or type(task).__module__
