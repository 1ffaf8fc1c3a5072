"""Names of ``kombu.utils.json``: JSON as text."""

from __future__ import annotations

from typing import Any

from celeriac.serialization import json_types

__all__ = ["dumps", "loads"]


def dumps(s: Any) -> str:
    """A value as JSON, with tags for the types that JSON lacks."""
    return json_types.dumps(s).decode()


def loads(s: str | bytes | bytearray | memoryview) -> Any:
    """Undo `dumps`."""
    return json_types.loads(s.encode() if isinstance(s, str) else bytes(s))
