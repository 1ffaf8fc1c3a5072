"""The one table from the names of Celery, and of the distributions beside it, to ours.  It imports none of them.

Each distribution has its part of the table, which is loaded when one of its modules is imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from celeriac.compat.names.row import Row

__all__ = ["ROOTS", "explain_module", "find", "public", "row_of", "table"]

#: Where the part of each distribution is.
ROOTS: Final = {
    "celery": "celeriac.compat.names.celery",
    "kombu": "celeriac.compat.names.kombu",
    "billiard": "celeriac.compat.names.billiard",
}


def table(root: str) -> dict[str, Row]:
    """The part of a distribution: rows by the old dotted name."""
    rows: dict[str, Row] = import_module(ROOTS[root]).TABLE
    return rows


def row_of(module: str) -> Row | None:
    """The row of a module that is served; None where there is none."""
    row = table(module.partition(".")[0]).get(module)
    return None if row is None or row.instead is not None else row


def is_package(module: str) -> bool:
    """Whether a module has submodules."""
    start = f"{module}."
    return any(name.startswith(start) for name in table(module.partition(".")[0]))


def find(module: str, name: str) -> Any:
    """The object that an old module has under a name.

    Raises:
        AttributeError: There is none.
    """
    row = row_of(module)
    if row is None:
        raise AttributeError(explain_module(module), name=name)
    if name == "__all__":
        return public(row)
    place = row.names.get(name)
    if place is not None:
        home, _, attribute = place.partition(":")
        return getattr(import_module(home), attribute)
    if row_of(f"{module}.{name}") is not None:
        return import_module(f"{module}.{name}")
    if row.home is not None and not name.startswith("_"):
        home_module = import_module(row.home)
        if hasattr(home_module, name):
            return getattr(home_module, name)
    raise AttributeError(_explain_name(module, row, name), name=name, obj=sys.modules.get(module))


def public(row: Row) -> list[str]:
    """The names of a module that ``import *`` takes."""
    names = {name for name in row.names if not name.startswith("_")}
    if row.home is not None:
        home = import_module(row.home)
        exported = getattr(home, "__all__", None)
        if exported is None:
            # Without submodules, which are there or not as they were imported.
            own = ((name, value) for name, value in vars(home).items() if not name.startswith("_"))
            exported = [name for name, value in own if not isinstance(value, ModuleType)]
        names.update(exported)
    return sorted(names)


def explain_module(module: str) -> str:
    """Why there is no such module."""
    row = table(module.partition(".")[0]).get(module)
    if row is not None and row.instead is not None:
        return f"Celeriac has no {module}: {row.instead}"
    parent = module.rpartition(".")[0]
    text = f"No module named {module!r} in Celeriac, which stands in for {module.partition('.')[0]} in this process"
    return f"{text}; {parent} is there" if row_of(parent) is not None else text


def _explain_name(module: str, row: Row, name: str) -> str:
    reason = row.missing.get(name)
    if reason is not None:
        return f"Celeriac has no {module}.{name}: {reason}"
    other = table(module.partition(".")[0]).get(f"{module}.{name}")
    if other is not None:
        return explain_module(f"{module}.{name}")
    where = f"; what there is of {module} is in {row.home}" if row.home is not None else ""
    return f"module {module!r} has no attribute {name!r} in Celeriac, which stands in for it{where}"
