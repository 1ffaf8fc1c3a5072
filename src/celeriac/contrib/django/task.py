"""`DjangoTask`, the base of tasks in a Django project: calls that wait for the transaction."""

from __future__ import annotations

import functools
from typing import Any, ParamSpec, TypeVar

from celeriac.app.task import Task

__all__ = ["DjangoTask"]

P = ParamSpec("P")
R = TypeVar("R")


class DjangoTask(Task[P, R]):
    """A task that can be called when the present transaction has been committed, and not at all if it is not.

    Outside of a transaction it is called at once. The calls return None: there is no result yet.
    """

    abstract = True

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """`delay` after the commit."""
        _on_commit(functools.partial(self.delay, *args, **kwargs))

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """`apply_async` after the commit."""
        _on_commit(functools.partial(self.apply_async, *args, **kwargs))


def _on_commit(call: functools.partial[Any]) -> None:
    # Declaring tasks needs no database.
    from django.db import transaction

    transaction.on_commit(call)
