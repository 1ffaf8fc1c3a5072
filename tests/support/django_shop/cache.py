"""A cache that counts how often it is closed."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.locmem import LocMemCache


class CountingCache(LocMemCache):  # type: ignore[misc]
    """See the module."""

    closed = 0

    def close(self, **kwargs: Any) -> None:
        type(self).closed += 1
        super().close(**kwargs)
