"""The tasks that a task started, and those that they started."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import IncompleteStream

if TYPE_CHECKING:
    from collections.abc import Iterator


def iterate(root: Any, intermediate: bool) -> Iterator[tuple[Any, Any]]:
    """Pairs of parent and result for a result and all below it, breadth first.

    Args:
        root: The result to begin with; its parent is None here.
        intermediate: Pass over results that are not ready.

    Raises:
        IncompleteStream: One is not ready.
    """
    queue: deque[tuple[Any, Any]] = deque([(None, root)])
    is_incomplete = False
    while queue:
        parent, node = queue.popleft()
        yield parent, node
        if node.ready():
            queue.extend((node, child) for child in node.children or ())
        else:
            is_incomplete = True
    if is_incomplete and not intermediate:
        raise IncompleteStream(f"Not every result below {root.id} is ready")
