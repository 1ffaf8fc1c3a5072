"""Finds pools that are not ours: by class path, or by the name of an entry point of the group ``celeriac.pools``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.pool.base import Pool
from celeriac.utils.imports import symbol_by_name
from celeriac.utils.plugins import find_plugin

if TYPE_CHECKING:
    from celeriac.current import AppLike

#: Names the class of the pool ``custom``.
VARIABLE: Final = "CELERY_CUSTOM_WORKER_POOL"
GROUP: Final = "celeriac.pools"


def is_custom(name: str) -> bool:
    """A pool may be meant by this name that is not ours."""
    return name == "custom" or "." in name or ":" in name or bool(_entry_points(name))


def _entry_points(name: str) -> Any:
    # Three megabytes, in each process of a worker whose pool is one of ours.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP, name=name)


def find_pool(name: str) -> Any:
    """What makes a pool.

    Args:
        name: ``custom``, which leaves it to the environment, a class path, or the name of an entry point.

    Raises:
        ImproperlyConfigured: There is none.
    """
    path = name
    if name == "custom":
        path = os.environ.get(VARIABLE, "")
        if not path:
            raise ImproperlyConfigured(f"the pool 'custom' is the class that {VARIABLE} names: set it, or worker_pool")
    if (found := find_plugin(path, GROUP)) is not None:
        return found
    try:
        return symbol_by_name(path)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ImproperlyConfigured(f"the pool {path!r} cannot be imported: {exc}") from exc


def make_pool(factory: Any, app: AppLike, hostname: str, concurrency: int) -> Pool:
    """A pool of a custom class.

    Args:
        factory: Called with the three that follow.
        app: The finalized application.
        hostname: Node name of the worker.
        concurrency: Tasks at once.

    Raises:
        ImproperlyConfigured: It is no `celeriac.pool.base.Pool`.
    """
    pool = factory(app, hostname, concurrency)
    wanted = {name for name in (*vars(Pool), *Pool.__annotations__) if not name.startswith("_")}
    missing = sorted(name for name in wanted if not hasattr(pool, name))
    if missing:
        raise ImproperlyConfigured(
            f"the pool {type(pool).__module__}:{type(pool).__qualname__} lacks {', '.join(missing)} of "
            "celeriac.pool.base.Pool"
        )
    return pool  # type: ignore[no-any-return]
