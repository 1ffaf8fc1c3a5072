"""Forgetting what a test imported."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def forget_modules(directory: Path) -> None:
    """Forget the modules found below a directory.

    Those alone: a library imported a second time has all its classes twice, and nothing that remembers the first ones
    would know the others, least of all an ``except``.
    """
    inside = f"{directory}/"
    for name, module in list(sys.modules.items()):
        known = getattr(module, "__dict__", {})
        places = [known.get("__file__"), *(known.get("__path__") or ())]
        if any(isinstance(place, str) and f"{place}/".startswith(inside) for place in places):
            del sys.modules[name]
