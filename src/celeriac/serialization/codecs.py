"""The serializers that come with the library.  Which of them may read a message is not decided here."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol

from celeriac.exceptions import DecodeError, EncodeError, ImproperlyConfigured, SerializationError
from celeriac.serialization import json_types
from celeriac.utils.dataclass import dataclass
from celeriac.utils.imports import import_optional

if TYPE_CHECKING:
    from collections.abc import Callable

#: Pairs that the merge keys of one YAML mapping may bring; written by hand there are a few.
_MAX_MERGED = 10_000


class Serializer(Protocol):
    """A named pair of conversions.

    Attributes:
        name: Used in settings (``task_serializer``).
        content_type: MIME type on the wire.
        content_encoding: ``utf-8`` for text, ``binary`` otherwise.
    """

    @property
    def name(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def content_encoding(self) -> str: ...

    def dumps(self, value: Any) -> bytes:
        """Encode.

        Raises:
            EncodeError: The value has no form in this format.
        """
        ...

    def loads(self, data: bytes) -> Any:
        """Decode.

        Raises:
            DecodeError: The data is not of this format.
        """
        ...


@dataclass(frozen=True)
class Codec:
    """A serializer made of two functions; whatever they raise comes out as EncodeError or DecodeError.

    Attributes:
        name: See `Serializer`.
        content_type: See `Serializer`.
        content_encoding: See `Serializer`; also the encoding of text returned by `encoder`.
        encoder: Makes bytes (or text) of a value.
        decoder: Makes a value of bytes.
        explain: Says of a value what in it could not be encoded and why, given the error; or returns None.
    """

    name: str
    content_type: str
    content_encoding: str
    encoder: Callable[[Any], bytes | str]
    decoder: Callable[[bytes], Any]
    explain: Callable[[Any, Exception], str | None] | None = None

    def dumps(self, value: Any) -> bytes:
        try:
            data = self.encoder(value)
            return data if isinstance(data, bytes) else data.encode(self.content_encoding)
        except (SerializationError, ImproperlyConfigured):
            raise
        except Exception as exc:
            raise EncodeError(self._why(value, exc)) from exc

    def loads(self, data: bytes) -> Any:
        try:
            return self.decoder(data)
        except (SerializationError, ImproperlyConfigured):
            raise
        except RecursionError as exc:
            raise DecodeError(f"{self.name}: {len(data)} bytes of data are nested too deeply") from exc
        except Exception as exc:
            raise DecodeError(f"{len(data)} bytes of data are not valid {self.name}: {_text(exc)}") from exc

    def _why(self, value: Any, exc: Exception) -> str:
        if isinstance(exc, RecursionError):
            return f"{self.name} cannot encode a {type(value).__name__} nested too deeply or within itself"
        reason = self.explain(value, exc) if self.explain else None
        return f"{self.name} cannot encode {reason or f'a {type(value).__name__}: {_text(exc)}'}"


def _text(exc: Exception) -> str:
    """What an error says; some errors show the value, whose repr may fail."""
    try:
        return str(exc)
    except Exception:
        return type(exc).__name__


def _explain_json(value: Any, exc: Exception) -> str | None:
    found = json_types.find_unencodable(value)
    if found is None:
        return None
    path, culprit = found
    return (
        f"the {type(culprit).__qualname__} at value{path}: {_text(exc)}; convert it, give it a __json__ method, "
        "use register_type(), or choose another serializer"
    )


def _raw_encode(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError("raw carries bytes and str only")


def _pickle_encode(value: Any) -> bytes:
    from celeriac.serialization import pickling

    return pickling.dumps(value)


def _pickle_decode(data: bytes) -> Any:
    from celeriac.serialization import pickling

    return pickling.loads(data)


@functools.cache
def _yaml() -> tuple[Any, Any, Any]:
    """The module, its safe dumper, and its safe loader with a bound on merge keys."""
    yaml = import_optional("yaml", extra="yaml", purpose="the serializer 'yaml'")
    safe_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def flatten_mapping(self: Any, node: Any) -> None:
        # `<<` copies: a few lines that merge one another would become millions of pairs.
        before = len(node.value)
        safe_loader.flatten_mapping(self, node)
        if len(node.value) > before + _MAX_MERGED:
            raise ValueError(f"merge keys (<<) add more than {_MAX_MERGED} pairs to a mapping")

    loader = type("_Loader", (safe_loader,), {"flatten_mapping": flatten_mapping})
    return yaml, getattr(yaml, "CSafeDumper", yaml.SafeDumper), loader


def _yaml_encode(value: Any) -> str:
    yaml, dumper, _ = _yaml()
    text: str = yaml.dump(value, Dumper=dumper)
    return text


def _yaml_decode(data: bytes) -> Any:
    yaml, _, loader = _yaml()
    return yaml.load(data, Loader=loader)


@functools.cache
def _msgpack() -> Any:
    return import_optional("msgpack", extra="msgpack", purpose="the serializer 'msgpack'")


def _msgpack_encode(value: Any) -> bytes:
    data: bytes = _msgpack().packb(value, use_bin_type=True)
    return data


def _msgpack_decode(data: bytes) -> Any:
    return _msgpack().unpackb(data, raw=False, strict_map_key=False)


JSON = Codec("json", "application/json", "utf-8", json_types.dumps, json_types.loads, _explain_json)
PICKLE = Codec("pickle", "application/x-python-serialize", "binary", _pickle_encode, _pickle_decode)
YAML = Codec("yaml", "application/x-yaml", "utf-8", _yaml_encode, _yaml_decode)
MSGPACK = Codec("msgpack", "application/x-msgpack", "binary", _msgpack_encode, _msgpack_decode)
RAW = Codec("raw", "application/data", "binary", _raw_encode, bytes)
BUILTIN: tuple[Serializer, ...] = (JSON, PICKLE, YAML, MSGPACK, RAW)
