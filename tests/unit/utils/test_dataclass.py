"""Our `dataclass` does what the standard one does with slots, for the parts this package uses."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from celeriac.broker.topology import Broadcast, Exchange, Queue
from celeriac.utils.dataclass import dataclass, field, replace


@dataclass
class Point:
    """A point."""

    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)

    def norm(self) -> int:
        """A method."""
        return abs(self.x) + abs(self.y)


@dataclass(frozen=True)
class Pair:
    """A frozen pair."""

    left: Any
    right: Any = None

    def __post_init__(self) -> None:
        if self.right is None:
            object.__setattr__(self, "right", self.left)


@dataclass(eq=False)
class Base:
    """Compared by identity."""

    name: str
    size: int = 1


@dataclass(eq=False)
class Derived(Base):
    """Inherits fields and defaults."""

    extra: list[int] = field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Standard:
    """The same as Point."""

    x: int
    y: int = 0
    tags: list[str] = dataclasses.field(default_factory=list)


def test_looks_like_a_standard_dataclass() -> None:
    assert repr(Point(1, y=2)) == repr(Standard(1, y=2)).replace("Standard", "Point")
    assert Point.__match_args__ == Standard.__match_args__
    assert Point.__slots__ == Standard.__slots__  # type: ignore[attr-defined]
    assert (Point.__doc__, Point.__module__, Point.__qualname__) == ("A point.", __name__, "Point")
    assert list(inspect.signature(Point).parameters) == ["x", "y", "tags"]
    assert Point(3, -4).norm() == 7


def test_takes_fields_by_position_and_name() -> None:
    assert Point(1, 2, ["a"]) == Point(tags=["a"], y=2, x=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="z"):
        Point(1, z=2)  # type: ignore[call-arg]


def test_default_factory_makes_a_value_for_each_instance() -> None:
    one, other = Point(1), Point(1)
    one.tags.append("mine")
    assert other.tags == []


def test_has_slots_only() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 1  # type: ignore[attr-defined]


def test_equal_when_class_and_fields_are() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert Point(1).__eq__(Standard(1)) is NotImplemented
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))


def test_without_eq_instances_differ() -> None:
    assert Base("a") != Base("a")
    assert len({Base("a"), Base("a")}) == 2


def test_frozen_refuses_changes_and_hashes() -> None:
    pair = Pair(1)
    assert (pair.left, pair.right) == (1, 1)
    with pytest.raises(AttributeError, match=r"Pair\.left cannot be changed"):
        pair.left = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"Pair\.left cannot be changed"):
        del pair.left
    assert {Pair(1, 2)} == {Pair(1, 2)}


def test_inherits_fields_and_defaults() -> None:
    derived = Derived("a")
    assert (derived.name, derived.size, derived.extra) == ("a", 1, [])
    assert Derived("a", 2, [3]).extra == [3]
    assert Derived.__match_args__ == ("name", "size", "extra")


def test_replace_makes_a_changed_copy() -> None:
    assert replace(Pair(1, 2), right=3) == Pair(1, 3)
    with pytest.raises(TypeError, match="middle"):
        replace(Pair(1, 2), middle=3)


@pytest.mark.parametrize("instance", [Point(1, 2, ["a"]), Pair(1, 2), Queue("q", Exchange("e")), Broadcast("news")])
def test_can_be_copied_and_pickled(instance: Any) -> None:
    assert copy.copy(instance) == instance
    assert copy.deepcopy(instance) == instance
    assert pickle.loads(pickle.dumps(instance)) == instance


def test_can_be_matched() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
