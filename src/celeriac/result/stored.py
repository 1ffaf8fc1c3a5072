"""Results from the tuples in which they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac.current import get_current_app
from celeriac.result.base import ResultBase

if TYPE_CHECKING:
    from celeriac.current import AppLike


def result_from_tuple(r: Any, app: AppLike | None = None) -> Any:
    """Rebuild a result of its stored form.

    Args:
        r: What ``as_tuple`` returned, or a result, which is passed through.
        app: The app; None is the current one.
    """
    if isinstance(r, ResultBase):
        return r
    if isinstance(r, Mapping):
        raise TypeError(f"A stored result must be a tuple ((id, parent), children), got {r!r}")
    owner: Any = app or get_current_app()
    head, nodes = r
    task_id, parent = head if isinstance(head, list | tuple) else (head, None)
    parent = result_from_tuple(parent, owner) if parent else None
    if nodes is not None:
        return owner.GroupResult(task_id, [result_from_tuple(node, owner) for node in nodes], parent=parent)
    return owner.AsyncResult(task_id, parent=parent)
