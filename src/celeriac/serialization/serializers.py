"""Serializers by name and content type, and the gate of ``accept_content``.  Formats are in `codecs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ContentDisallowed, DecodeError, ImproperlyConfigured
from celeriac.serialization.codecs import BUILTIN, RAW, Codec, Serializer
from celeriac.utils.plugins import find_plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

#: Entry points of further serializers, by name: objects of the shape of `Serializer`, or kombu's four-part tuples.
GROUPS = ("celeriac.serializers", "kombu.serializers")
_RAW_TYPE = "application/data"
#: What is accepted where nobody says what is: it runs no code of the sender.
_HARMLESS = frozenset({"application/json", "text/plain", _RAW_TYPE})
#: Between content type, content encoding and content of what is packed.
_SEPARATOR = b"\0"
_BINARY = frozenset({"binary", "ascii-8bit"})


class SerializerRegistry:
    """The serializers a process knows.

    Args:
        serializers: Known from the start.

    Attributes:
        elsewhere: Called with a name or content type that is unknown; returns a serializer, which is then known, or
            None.
    """

    elsewhere: Callable[[str], Serializer | None] | None = None

    def __init__(self, serializers: Iterable[Serializer] = ()) -> None:
        self._by_name: dict[str, Serializer] = {}
        self._by_type: dict[str, Serializer] = {}
        self._enabled = _HARMLESS
        for serializer in serializers:
            self.register(serializer)

    def register(self, serializer: Serializer) -> None:
        """Add a serializer, or replace the one of the same name or content type."""
        self._by_name[serializer.name] = serializer
        self._by_type[serializer.content_type] = serializer

    def unregister(self, name: str) -> None:
        """Forget a serializer.

        Raises:
            ImproperlyConfigured: There is none of that name.
        """
        serializer = self.by_name(name)
        self._by_name.pop(serializer.name, None)
        if self._by_type.get(serializer.content_type) is serializer:
            del self._by_type[serializer.content_type]

    @property
    def names(self) -> list[str]:
        """Every known name, sorted."""
        return sorted(self._by_name)

    def by_name(self, name: str) -> Serializer:
        """The serializer of a name (``json``) or content type (``application/json``).

        Raises:
            ImproperlyConfigured: There is none.
        """
        try:
            return self._by_name.get(name) or self._by_type[name]
        except KeyError:
            if (found := self._ask_elsewhere(name)) is not None:
                return found
            if name == "auth":
                raise ImproperlyConfigured("the serializer 'auth' signs messages: call app.setup_security()") from None
            raise ImproperlyConfigured(
                f"unknown serializer {name!r}: known are {', '.join(self.names)}; register others with "
                "celeriac.serialization.register()"
            ) from None

    def by_content_type(self, content_type: str) -> Serializer | None:
        """The serializer that reads a content type, or None."""
        return self._by_type.get(content_type) or self._ask_elsewhere(content_type)

    def _ask_elsewhere(self, name: str) -> Serializer | None:
        found = None if self.elsewhere is None else self.elsewhere(name)
        if found is None and "/" not in name:
            found = _of_plugin(name)
        if found is not None:
            self.register(found)
        return found

    def accept_set(self, names: Iterable[str]) -> frozenset[str]:
        """Content types of a list of names and content types (``accept_content``).

        Raises:
            ImproperlyConfigured: A name without ``/`` is unknown, or `names` is one string.
        """
        if isinstance(names, str):
            raise ImproperlyConfigured(f"accept_content must be a list of names, not the string {names!r}")
        return frozenset(
            name if "/" in name and name not in self._by_name else self.by_name(name).content_type for name in names
        )

    def enable_only(self, names: Iterable[str]) -> None:
        """Say what is accepted by readers that do not say it themselves; at first that is JSON and plain data.

        Args:
            names: Names and content types.

        Raises:
            ImproperlyConfigured: A name is unknown.
        """
        self._enabled = self.accept_set(names)

    def dumps(self, value: Any, name: str) -> tuple[str, str, bytes]:
        """Encode a value.

        Args:
            value: Anything the serializer can carry.
            name: Name or content type of the serializer.

        Returns:
            Content type, content encoding, data.

        Raises:
            EncodeError: The serializer cannot carry the value.
            ImproperlyConfigured: The serializer is unknown or a package it needs is missing.
        """
        serializer = self._by_name.get(name) or self.by_name(name)
        data = serializer.dumps(value)
        if serializer is RAW and isinstance(value, str):
            return _RAW_TYPE, "utf-8", data
        return serializer.content_type, serializer.content_encoding, data

    def loads(
        self,
        data: bytes | str,
        content_type: str | None,
        content_encoding: str | None,
        accept: Collection[str] | None = None,
    ) -> Any:
        """Decode the data of a peer, if its type is accepted. This is the only way in.

        Args:
            data: As received.
            content_type: As received. Data without one is not decoded but returned as text or bytes.
            content_encoding: As received; tells text from bytes where no serializer decides.
            accept: Content types that may be decoded; see `accept_set`. None is those of `enable_only`.

        Raises:
            ContentDisallowed: The content type is not in `accept`.
            DecodeError: The data is not of its type.
            ImproperlyConfigured: A package the serializer needs is missing.
        """
        accept = self._enabled if accept is None else accept
        if content_type and content_type not in accept:
            raise ContentDisallowed(self._refusal(content_type, accept))
        serializer = None
        if content_type:
            serializer = self._by_type.get(content_type) or self._ask_elsewhere(content_type)
        if serializer is None or serializer is RAW:
            return _decode_text(data, content_encoding)
        return serializer.loads(data.encode() if isinstance(data, str) else data)

    def unpack(self, data: bytes, accept: Collection[str]) -> Any:
        """Decode what `pack` made; raises what `loads` does."""
        content_type, content_encoding, content = data.split(_SEPARATOR, 2)
        return self.loads(content, content_type.decode(), content_encoding.decode(), accept)

    def _refusal(self, content_type: str, accept: Collection[str]) -> str:
        serializer = self._by_type.get(content_type)
        name = serializer.name if serializer else content_type
        return (
            f"Refusing to deserialize untrusted content of type {name} ({content_type}): accepted are "
            f"{', '.join(sorted(accept)) or 'none'}; add {name!r} to accept_content "
            "(result_accept_content for results) only if every sender is trusted"
        )


def _decode_text(data: bytes | str, content_encoding: str | None) -> bytes | str:
    encoding = (content_encoding or "utf-8").lower()
    if isinstance(data, str) or encoding in _BINARY:
        return data
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as exc:
        raise DecodeError(f"{len(data)} bytes of data are not {content_encoding} text: {exc}") from exc


def _of_plugin(name: str) -> Serializer | None:
    """The serializer of another distribution."""
    found = find_plugin(name, *GROUPS)
    if isinstance(found, tuple):
        # As kombu has them.
        encoder, decoder, content_type, content_encoding = found
        return Codec(name, content_type, content_encoding, encoder, decoder)
    return found  # type: ignore[no-any-return]


#: The registry of the process.
registry = SerializerRegistry(BUILTIN)


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


def pack(serializer: Serializer, value: Any) -> bytes:
    """Content type, content encoding and content in one piece, for stores; `SerializerRegistry.unpack` reads it.

    Raises:
        EncodeError: The serializer cannot encode the value.
    """
    described = (serializer.content_type.encode(), serializer.content_encoding.encode())
    return _SEPARATOR.join((*described, serializer.dumps(value)))
