"""The tasks that a task started, and those that they started."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import IncompleteStream
from celeriac.utils.graph import DependencyGraph

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
    while queue:
        parent, node = queue.popleft()
        yield parent, node
        if node.ready():
            queue.extend((node, child) for child in node.children or ())
        elif not intermediate:
            raise IncompleteStream(f"Not every result below {root.id} is ready: {node.id} is not")


def build(root: Any, intermediate: bool, formatter: Any) -> DependencyGraph:
    """A result and all below it, each depending on those that it started.

    Args:
        root: The result to begin with.
        intermediate: Pass over results that are not ready.
        formatter: As for `DependencyGraph`.
    """
    graph = DependencyGraph(formatter=formatter)
    for parent, node in iterate(root, intermediate):
        graph.add_arc(node)
        if parent is not None:
            graph.add_edge(parent, node)
    return graph
