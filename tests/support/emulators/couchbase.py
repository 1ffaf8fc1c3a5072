"""The collection of Couchbase's client, in this process: there is no server, and its protocol is not HTTP.

https://docs.couchbase.com/sdk-api/couchbase-python-client/
"""

from __future__ import annotations

import itertools
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from couchbase import exceptions as errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

_NEVER = float("inf")


class Collection:
    """Documents: their value, their number, and when they expire."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[Any, int, float]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def _get(self, key: str) -> Any:
        with self._lock:
            there = self.documents.get(key)
            if there is None or there[2] <= time.time():
                raise errors.DocumentNotFoundException
            return SimpleNamespace(value=there[0], cas=there[1])

    def _remove(self, key: str) -> None:
        with self._lock:
            self._get(key)
            del self.documents[key]

    def insert(self, key: str, value: Any, expiry: timedelta | None = None) -> None:
        """Keep a document where there is none."""
        with self._lock:
            try:
                self._get(key)
            except errors.DocumentNotFoundException:
                self.upsert(key, value, expiry)
            else:
                raise errors.DocumentExistsException

    def upsert(self, key: str, value: Any, expiry: timedelta | None = None) -> None:
        """Keep a document whatever is there."""
        with self._lock:
            until = _NEVER if expiry is None else time.time() + expiry.total_seconds()
            self.documents[key] = (value, next(self._numbers), until)

    def replace(self, key: str, value: Any, cas: int, expiry: timedelta | None = None) -> None:
        """Keep a document in place of the one of this number."""
        with self._lock:
            if self._get(key).cas != cas:
                raise errors.CASMismatchException
            self.upsert(key, value, expiry)

    def get_multi(self, keys: Iterable[str]) -> Any:
        """Several documents."""
        return _each(keys, self._get)

    def upsert_multi(self, documents: dict[str, Any], expiry: timedelta | None = None) -> Any:
        """Keep several documents."""
        return _each(documents, lambda key: self.upsert(key, documents[key], expiry))

    def remove_multi(self, keys: Iterable[str]) -> Any:
        """Forget several documents."""
        return _each(keys, self._remove)


def _each(keys: Iterable[str], operation: Callable[[str], Any]) -> Any:
    answer = SimpleNamespace(results={}, exceptions={})
    for key in keys:
        try:
            answer.results[key] = operation(key)
        except errors.CouchbaseException as error:
            answer.exceptions[key] = error
    return answer
