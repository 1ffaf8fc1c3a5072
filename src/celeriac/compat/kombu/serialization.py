"""Names of ``kombu.serialization``: the serializers of the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.serialization.serializers import register, unregister
from celeriac.serialization.serializers import registry as serializers

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "disable_insecure_serializers",
    "dumps",
    "enable_insecure_serializers",
    "loads",
    "prepare_accept_content",
    "register",
    "registry",
    "unregister",
]


class _Registry:
    """The serializers of the process, by the names that code for kombu knows."""

    register = staticmethod(register)
    unregister = staticmethod(unregister)

    @property
    def name_to_type(self) -> dict[str, str]:
        """Content types by name."""
        return {name: serializers.by_name(name).content_type for name in serializers.names}

    @property
    def type_to_name(self) -> dict[str, str]:
        """Names by content type."""
        return {content_type: name for name, content_type in self.name_to_type.items()}

    def dumps(self, data: Any, serializer: str | None = None) -> tuple[str, str, Any]:
        """See `dumps`."""
        return dumps(data, serializer)

    def loads(
        self, data: Any, content_type: str, content_encoding: str, accept: Any = None, force: bool = False
    ) -> Any:
        """See `loads`."""
        return loads(data, content_type, content_encoding, accept, force)


registry = _Registry()


def dumps(data: Any, serializer: str | None = None) -> tuple[str, str, Any]:
    """Encode.

    Args:
        data: Anything.
        serializer: Name; None leaves text and bytes as they are, and takes JSON for the rest.

    Returns:
        Content type, content encoding, and text or bytes.
    """
    if serializer is None and isinstance(data, bytes):
        return "application/data", "binary", data
    if serializer is None and isinstance(data, str):
        return "text/plain", "utf-8", data
    content_type, encoding, encoded = serializers.dumps(data, serializer or "json")
    return content_type, encoding, encoded.decode() if encoding == "utf-8" else encoded


def loads(
    data: Any, content_type: str, content_encoding: str, accept: Iterable[str] | None = None, force: bool = False
) -> Any:
    """Decode.

    Args:
        data: As it was received.
        content_type: Ditto.
        content_encoding: Ditto.
        accept: Content types that may be decoded; None is JSON, and plain text and data.
        force: Accept the content type, whatever it is.

    Raises:
        ContentDisallowed: The content type is not accepted.
        DecodeError: The data is not of its type.
    """
    accepted = {content_type} if force else set(accept or ("application/json", "text/plain", "application/data"))
    return serializers.loads(data, content_type, content_encoding, accepted)


def prepare_accept_content(content_types: Iterable[str] | None, name_to_type: Any = None) -> Any:
    """Content types of a list of names and content types; None stays None."""
    return content_types if content_types is None else set(serializers.accept_set(content_types))


def enable_insecure_serializers(choices: Iterable[str] = ("pickle", "yaml", "msgpack")) -> None:
    """Refused: who reads says what is accepted.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(f"name {', '.join(choices)} in the setting accept_content, or accept= of the consumer")


def disable_insecure_serializers(allowed: Iterable[str] = ("json",)) -> None:
    """Accept nothing but these where a reader does not say what it accepts."""
    serializers.enable_only(allowed)
