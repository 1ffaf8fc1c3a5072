"""What depends on what, as `AsyncResult.graph` shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class GraphFormatter(Protocol):
    """Writes a graph in some language."""

    def head(self) -> str:
        """What comes first."""
        ...

    def node(self, obj: Any, has_dependencies: bool) -> str:
        """A node."""
        ...

    def edge(self, obj: Any, dependency: Any) -> str:
        """An arrow from a node to what it depends on."""
        ...

    def tail(self) -> str:
        """What comes last."""
        ...


class DOTFormatter:
    """Writes a graph for Graphviz.

    Args:
        name: Name of the graph.
    """

    def __init__(self, name: str = "dependencies") -> None:
        self.name = name

    def head(self) -> str:
        return f"digraph {self.name} {{"

    def node(self, obj: Any, has_dependencies: bool) -> str:
        return f"    {_quoted(obj)} [shape={'box' if has_dependencies else 'ellipse'}];"

    def edge(self, obj: Any, dependency: Any) -> str:
        return f"    {_quoted(obj)} -> {_quoted(dependency)};"

    def tail(self) -> str:
        return "}"


def _quoted(obj: Any) -> str:
    text = str(obj).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


class DependencyGraph:
    """Objects and the objects each depends on.

    Args:
        it: Pairs of an object and what it depends on.
        formatter: Writes it; None is Graphviz's language.
    """

    def __init__(self, it: Iterable[tuple[Any, Iterable[Any]]] | None = None, formatter: Any = None) -> None:
        self.formatter: GraphFormatter = formatter or DOTFormatter()
        self.adjacent: dict[Any, list[Any]] = {}
        self.update(it or ())

    def add_arc(self, obj: Any) -> None:
        """Add an object."""
        self.adjacent.setdefault(obj, [])

    def add_edge(self, A: Any, B: Any) -> None:  # noqa: N803 - Celery's names
        """Say that A depends on B; both have been added."""
        self.adjacent[A].append(B)

    def connect(self, graph: DependencyGraph) -> None:
        """Add what another graph has."""
        for obj, dependencies in graph.items():
            self.adjacent.setdefault(obj, []).extend(dependencies)

    def update(self, it: Iterable[tuple[Any, Iterable[Any]]]) -> None:
        """Add objects with what they depend on."""
        for obj, dependencies in it:
            self.add_arc(obj)
            for dependency in dependencies:
                self.add_arc(dependency)
                self.add_edge(obj, dependency)

    def topsort(self) -> list[Any]:
        """The objects, each behind all it depends on; a circle is cut where it is entered."""
        found: dict[Any, None] = {}
        entered: set[Any] = set()
        for root in self.adjacent:
            stack = [(root, False)]
            while stack:
                obj, is_done = stack.pop()
                if is_done:
                    found[obj] = None
                elif obj not in entered:
                    entered.add(obj)
                    stack.append((obj, True))
                    stack.extend((each, False) for each in reversed(self.adjacent.get(obj, [])))
        return list(found)

    def valency_of(self, obj: Any) -> int:
        """How many objects an object depends on, those its dependencies depend on included; -1 if it is not here."""
        if obj not in self.adjacent:
            return -1
        count, stack, seen = 0, [obj], {obj}
        while stack:
            for each in self.adjacent.get(stack.pop(), ()):
                count += 1
                if each not in seen:
                    seen.add(each)
                    stack.append(each)
        return count

    def edges(self) -> list[Any]:
        """The objects that depend on others."""
        return [obj for obj, dependencies in self.adjacent.items() if dependencies]

    def items(self) -> Iterable[tuple[Any, list[Any]]]:
        """Pairs of an object and what it depends on."""
        return self.adjacent.items()

    iteritems = items

    def to_dot(self, fh: TextIO, formatter: Any = None) -> None:
        """Write it to a text file, for Graphviz unless there is a formatter."""
        writer: GraphFormatter = formatter or self.formatter
        fh.write(f"{writer.head()}\n")
        for obj, dependencies in self.items():
            fh.write(f"{writer.node(obj, bool(dependencies))}\n")
        for obj, dependencies in self.items():
            for each in dependencies:
                fh.write(f"{writer.edge(obj, each)}\n")
        fh.write(f"{writer.tail()}\n")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.adjacent)

    def __getitem__(self, obj: Any) -> list[Any]:
        return self.adjacent[obj]

    def __len__(self) -> int:
        return len(self.adjacent)

    def __contains__(self, obj: object) -> bool:
        return obj in self.adjacent

    def __str__(self) -> str:
        return "\n".join(line for obj in self for line in self._lines(obj, 0, ()))

    __repr__ = __str__

    def _lines(self, obj: Any, depth: int, above: tuple[Any, ...]) -> Iterator[str]:
        yield f"{'    ' * depth}{obj}({self.valency_of(obj)})"
        for each in self.adjacent.get(obj, ()):
            if each not in above:
                yield from self._lines(each, depth + 1, (*above, obj))
