"""A block of statements as one transaction, on connections that otherwise commit each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Transactional:
    """What the connections of SQL drivers have in common."""

    _in_transaction = False

    @property
    def is_open(self) -> bool:
        """It was neither closed nor lost."""
        raise NotImplementedError

    def run(self, statement: str) -> Any:
        """Run one statement."""
        raise NotImplementedError

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make one transaction of the block."""
        self.run("BEGIN")
        self._in_transaction = True
        try:
            yield
        except BaseException:
            self._in_transaction = False
            if self.is_open:
                self.run("ROLLBACK")
            raise
        self._in_transaction = False
        self.run("COMMIT")
