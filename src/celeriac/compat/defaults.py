"""Settings and their defaults in Celery, as in ``celery.app.defaults``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.config.names import find_option as find
from celeriac.config.options import OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DEFAULTS", "NAMESPACES", "Option", "find", "flatten"]

#: Celery's default of each of its settings.
DEFAULTS: dict[str, Any] = {
    name: option.default_for(celery=True) for name, option in OPTIONS.items() if option.declared
}


def _nested() -> dict[str, Any]:
    """Settings by the first part of their names; the rest stand alone."""
    nested: dict[str, Any] = {}
    groups = {"beat", "broker", "cache", "event", "redis", "result", "security", "task", "worker"}
    for name, option in OPTIONS.items():
        if not option.declared:
            continue
        group, _, rest = name.partition("_")
        if group in groups and rest:
            nested.setdefault(group, {})[rest] = option
        else:
            nested[name] = option
    return nested


NAMESPACES: dict[str, Any] = _nested()


def flatten(d: Mapping[str, Any], root: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of nested mappings, the names joined by ``_``.

    Args:
        d: The mappings.
        root: Put before each name.
    """
    for key, value in d.items():
        name = f"{root}_{key}" if root else key
        if isinstance(value, dict):
            yield from flatten(value, name)
        else:
            yield name, value
