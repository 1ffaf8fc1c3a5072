"""From values to bytes and back.  What a message means is not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.serialization.codecs import Codec, Serializer
from celeriac.serialization.compression import compress, decompress
from celeriac.serialization.einfo import ExceptionInfo
from celeriac.serialization.failures import decode_exception, encode_exception
from celeriac.serialization.json_types import register_type
from celeriac.serialization.registry import SerializerRegistry, registry

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Codec",
    "ExceptionInfo",
    "Serializer",
    "SerializerRegistry",
    "compress",
    "decode_exception",
    "decompress",
    "encode_exception",
    "register",
    "register_type",
    "registry",
    "unregister",
]


def register(
    name: str,
    encoder: Callable[[Any], bytes | str],
    decoder: Callable[[bytes], Any],
    content_type: str,
    content_encoding: str = "utf-8",
) -> None:
    """Make a serializer from two functions and register it.

    Args:
        name: Used in settings.
        encoder: Makes bytes or text of a value.
        decoder: Makes a value of bytes.
        content_type: MIME type on the wire.
        content_encoding: ``binary``, or the encoding of the text.
    """
    registry.register(Codec(name, content_type, content_encoding, encoder, decoder))


def unregister(name: str) -> None:
    """Forget a serializer.

    Raises:
        ImproperlyConfigured: There is none of that name.
    """
    registry.unregister(name)
