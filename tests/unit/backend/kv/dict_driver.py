"""A key-value store in a dict."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class DictDriver(Driver):
    """Calls ``before_write`` before each write."""

    name = "dict"
    url = "dict://"

    def __init__(self) -> None:
        self.kept: dict[str, Stored] = {}
        self.reads: list[list[str]] = []
        self.before_write: Callable[[Entry], object] = lambda entry: None

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        self.reads.append(list(keys))
        return {key: self.kept[key] for key in keys if key in self.kept}

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        self.before_write(entry)
        there = self.kept.get(entry.key)
        if expecting is not ANY and (None if expecting is ABSENT else expecting) != (there and there.version):
            return False
        self.kept[entry.key] = Stored(entry.data, (there.version if there else 0) + 1)
        return True

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.kept.pop(key, None)

    @contextmanager
    def errors(self) -> Iterator[None]:
        yield

    def close(self) -> None: ...
