"""Names of ``celery.utils.collections``."""

from __future__ import annotations

import heapq
import time
from collections import ChainMap, OrderedDict
from typing import TYPE_CHECKING, Any

from celeriac.config import Settings as ConfigurationView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "AttributeDict",
    "AttributeDictMixin",
    "ChainMap",
    "ConfigurationView",
    "DictAttribute",
    "LimitedSet",
    "OrderedDict",
    "force_mapping",
    "lpmerge",
]


class AttributeDictMixin:
    """Items of a dict as attributes."""

    def __getattr__(self, k: str) -> Any:
        try:
            return self[k]  # type: ignore[index]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {k!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value


class AttributeDict(dict[str, Any], AttributeDictMixin):
    """A dict whose items are attributes too."""


class DictAttribute:
    """Attributes of an object as items of a mapping.

    Args:
        obj: The object.
    """

    obj: Any

    def __init__(self, obj: Any) -> None:
        object.__setattr__(self, "obj", obj)

    def __getattr__(self, key: str) -> Any:
        return getattr(self.obj, key)

    def __setattr__(self, key: str, value: Any) -> None:
        setattr(self.obj, key, value)

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self.obj, key)
        except AttributeError:
            raise KeyError(key) from None

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self.obj, key, value)

    def __contains__(self, key: str) -> bool:
        return hasattr(self.obj, key)

    def __iter__(self) -> Iterator[str]:
        return iter(dir(self.obj))

    keys = __iter__

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute, or something else where there is none."""
        return getattr(self.obj, key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """An attribute; it is set where there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and values."""
        return ((key, self[key]) for key in self)

    def values(self) -> Iterator[Any]:
        """Values."""
        return (self[key] for key in self)


def force_mapping(m: Any) -> Any:
    """Something that has items: an object's attributes become some."""
    return m if hasattr(m, "__getitem__") and hasattr(m, "keys") else DictAttribute(m)


def lpmerge(L: dict[Any, Any], R: Mapping[Any, Any]) -> dict[Any, Any]:  # noqa: N803 - Celery's names
    """Put the items of the right that are not None into the left."""
    L.update((key, value) for key, value in R.items() if value is not None)
    return L


class LimitedSet:
    """A set that forgets the oldest members when there are too many, or when they are too old.

    Args:
        maxlen: Most members; 0 is any number.
        expires: Seconds after which a member may be forgotten; 0 is never.
        data: Members to begin with: an iterable, or a mapping to the times at which they were added.
        minlen: Fewest members that are kept although they are too old.
    """

    def __init__(self, maxlen: int = 0, expires: float = 0, data: Any = None, minlen: int = 0) -> None:
        self.maxlen, self.minlen, self.expires = maxlen or 0, minlen or 0, expires or 0
        if self.maxlen < 0 or self.minlen < 0 or self.expires < 0:
            raise ValueError("LimitedSet takes no negative maxlen, minlen or expires")
        self._data: dict[Any, float] = {}
        if data:
            self.update(data)

    def add(self, item: Any, now: float | None = None) -> None:
        """Add a member, or make it new again."""
        self._data[item] = now or time.time()
        if self.maxlen and len(self._data) > self.maxlen:
            self.purge()

    def discard(self, item: Any) -> None:
        """Remove a member, if it is one."""
        self._data.pop(item, None)

    pop_value = discard

    def clear(self) -> None:
        """Remove all."""
        self._data.clear()

    def update(self, other: Iterable[Any]) -> None:
        """Add many members: of a set of this kind or a mapping, with their times."""
        if isinstance(other, LimitedSet):
            other = other._data
        if hasattr(other, "items"):
            self._data.update((item, float(added)) for item, added in other.items())
        else:
            now = time.time()
            self._data.update((item, now) for item in other)
        self.purge()

    def purge(self, now: float | None = None) -> None:
        """Forget what is too much or too old."""
        surplus = len(self._data) - self.maxlen if self.maxlen else 0
        for item, _ in heapq.nsmallest(surplus, self._data.items(), key=lambda pair: pair[1]):
            del self._data[item]
        if not self.expires:
            return
        limit = (now or time.time()) - self.expires
        oldest = sorted(self._data.items(), key=lambda pair: pair[1])
        for item, added in oldest[: max(len(oldest) - self.minlen, 0)]:
            if added > limit:
                break
            del self._data[item]

    def pop(self, default: Any = None) -> Any:
        """Remove the oldest member and return it."""
        if not self._data:
            return default
        item = min(self._data, key=lambda each: self._data[each])
        del self._data[item]
        return item

    def as_dict(self) -> dict[Any, float]:
        """Members and the times at which they were added."""
        return dict(self._data)

    def __contains__(self, item: object) -> bool:
        return item in self._data

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(self._data, key=lambda item: self._data[item]))

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LimitedSet) and self._data == other._data

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"LimitedSet({len(self)})"
