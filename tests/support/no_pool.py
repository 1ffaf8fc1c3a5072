"""What is no pool."""

from __future__ import annotations

from typing import Any


class NoPool:
    """Lacks everything but a name."""

    name = "none"

    def __init__(self, app: Any, hostname: str, concurrency: int) -> None: ...
