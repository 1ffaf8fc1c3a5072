"""Names of ``kombu.utils.encoding``."""

from __future__ import annotations

import sys
from typing import Any

__all__ = [
    "bytes_to_str",
    "default_encode",
    "default_encoding",
    "ensure_bytes",
    "from_utf8",
    "safe_repr",
    "safe_str",
    "str_to_bytes",
]


def default_encoding() -> str:
    """The encoding of names of files."""
    return sys.getfilesystemencoding()


def bytes_to_str(s: Any) -> Any:
    """Text of UTF-8 bytes; anything else as it is."""
    return s.decode(errors="replace") if isinstance(s, bytes) else s


def str_to_bytes(s: Any) -> Any:
    """UTF-8 bytes of text; anything else as it is."""
    return s.encode() if isinstance(s, str) else s


def ensure_bytes(s: Any) -> bytes:
    """Bytes of anything."""
    return s if isinstance(s, bytes) else str(s).encode()


def from_utf8(s: Any, *_args: Any, **_kwargs: Any) -> Any:
    """The same."""
    return s


default_encode = from_utf8


def safe_str(s: Any, errors: str = "replace") -> str:
    """Text of anything; what has none says so."""
    if isinstance(s, bytes):
        return s.decode(errors=errors)
    return s if isinstance(s, str) else safe_repr(s)


def safe_repr(o: Any, errors: str = "replace") -> str:
    """The repr of anything; what has none says so."""
    try:
        return repr(o)
    except Exception as exc:
        return f"<Unrepresentable {type(o)!r}: {exc!r}>"
