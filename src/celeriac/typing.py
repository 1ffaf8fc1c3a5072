"""Aliases used in public signatures.  No behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JSON: TypeAlias = "str | int | float | bool | Sequence[JSON] | Mapping[str, JSON] | None"
#: Headers of a message: JSON-like on the wire, but drivers may add their own scalar types.
Headers: TypeAlias = dict[str, Any]
#: Message properties: correlation_id, reply_to, priority, delivery_mode, expiration, ...
Properties: TypeAlias = dict[str, Any]
