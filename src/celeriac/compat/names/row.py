"""`Row`: one module of Celery, and where its names live."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Row", "names_of"]


class Row(NamedTuple):
    """One module of Celery.

    Attributes:
        home: Our module with names that are called alike; None has none.
        names: Other names, and where they live, as ``module:attribute``.
        instead: Why the module is not there, and what there is instead.
        missing: Names that are not there, and what there is instead.
    """

    home: str | None = None
    names: Mapping[str, str] = {}
    instead: str | None = None
    missing: Mapping[str, str] = {}


def names_of(home: str, *names: str, **renamed: str) -> dict[str, str]:
    """Names of one of our modules.

    Args:
        home: The module.
        *names: Names that are called alike.
        **renamed: Old names, and what they are called here.
    """
    found = {name: f"{home}:{name}" for name in names}
    found.update((old, f"{home}:{new}") for old, new in renamed.items())
    return found
