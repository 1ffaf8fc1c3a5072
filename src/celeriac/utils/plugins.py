"""Objects of other distributions, found by the name of an entry point.  What they have to be is the caller's affair."""

from __future__ import annotations

from typing import Any

from celeriac.exceptions import ImproperlyConfigured

__all__ = ["find_plugin"]


def find_plugin(name: str, *groups: str) -> Any:
    """What an entry point names; None if there is no such entry point.

    Args:
        name: Its name.
        *groups: Groups to look in, in this order.

    Raises:
        ImproperlyConfigured: It cannot be imported.
    """
    # Three megabytes, and milliseconds: only for names that nothing of ours has.
    from importlib.metadata import entry_points

    for group in groups:
        for point in entry_points(group=group, name=name):
            try:
                return point.load()
            except Exception as exc:
                origin = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
                raise ImproperlyConfigured(
                    f"{name!r} of the distribution {origin} (entry point group {group}) cannot be imported: "
                    f"{type(exc).__name__}: {exc}"
                ) from exc
    return None
