"""What those that watch a worker wrote down of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, each a mapping."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
