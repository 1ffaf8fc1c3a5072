"""What all results have in common: `ResultBase`."""

from __future__ import annotations

from typing import Any


class ResultBase:
    """What all results have in common."""

    parent: Any = None
