"""Values as fields of JSON documents: text under Celery's name of the field, and what is no text beside it."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.backend.kv.driver import Entry

#: What the name of the field ends in whose value is no text: pickled, packed or compressed.
_BINARY: Final = "_base64"


def fields_of(name: str, data: bytes) -> dict[str, str]:
    r"""The field of a value.

    >>> fields_of("value", b"text"), fields_of("value", b"\xff")
    ({'value': 'text'}, {'value_base64': '/w=='})
    """
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {name + _BINARY: b64encode(data).decode()}


def document_of(entry: Entry, key_field: str, name: str) -> dict[str, Any]:
    """The document of something to keep.

    Args:
        entry: What.
        key_field: The field of its key.
        name: The field of its value.
    """
    document: dict[str, Any] = {key_field: entry.key, **fields_of(name, entry.data)}
    if entry.seconds is not None:
        document["expires_at"] = time.time() + entry.seconds
    return document


def value_of(name: str, document: Mapping[str, Any]) -> bytes:
    """The value of a document; nothing where it has none."""
    if isinstance(binary := document.get(name + _BINARY), str):
        return b64decode(binary)
    text = document.get(name)
    return text.encode() if isinstance(text, str) else b""
