"""JSON as Celery writes it, with tags for types JSON lacks.  Errors stay those of the standard library.

An object without a JSON form is written as ``{"__type__": marker, "__value__": value}``; only an object of
exactly these two keys is read back that way.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from functools import cache
from json import JSONDecoder, JSONEncoder
from json import encoder as _encoder_module
from typing import Any, TypeVar

T = TypeVar("T")
_Encode = Callable[[Any], Any]

_HARMLESS = frozenset({str, float, bool, type(None)})

_encoders: dict[type, tuple[str, _Encode]] = {}
_decoders: dict[str, Callable[[Any], Any]] = {}


def register_type(cls: type[T], marker: str | None, encoder: Callable[[T], Any], decoder: Callable[[Any], T]) -> None:
    """Let JSON carry instances of `cls` and of its subclasses.

    Args:
        cls: The type. Registering it again replaces the earlier registration.
        marker: Its tag on the wire, by default the qualified name; must be the same for every peer.
        encoder: Makes a value that JSON can carry.
        decoder: Makes the instance again.
    """
    _register_rare_types()
    tag = marker or cls.__qualname__
    _encoders[cls] = (tag, encoder)
    _decoders[tag] = decoder


def unregister_type(cls: type) -> None:
    """Undo `register_type`; nothing happens for an unknown type."""
    _register_rare_types()
    tag, _ = _encoders.pop(cls, ("", None))
    _decoders.pop(tag, None)


def default(obj: Any) -> Any:
    """The JSON-able form of an object the encoder does not know.

    The order is Celery's: ``__json__()``, Django's lazy strings, registered types, bytes.

    Raises:
        TypeError: There is none.
    """
    own = getattr(obj, "__json__", None)
    if own is not None and not isinstance(obj, type):
        return own()
    if _is_lazy_text(obj):
        return str(obj)
    _register_rare_types()
    for cls in type(obj).__mro__:
        if cls in _encoders:
            tag, encode = _encoders[cls]
            return {"__type__": tag, "__value__": encode(obj)}
    if isinstance(obj, bytes):
        try:
            return {"__type__": "bytes", "__value__": obj.decode()}
        except UnicodeDecodeError:
            return {"__type__": "base64", "__value__": base64.b64encode(obj).decode("ascii")}
    raise TypeError(f"Object of type {type(obj).__name__} is not JSON serializable")


def _is_lazy_text(obj: Any) -> bool:
    """True for Django's translatable strings; Django is never imported for this."""
    functional = sys.modules.get("django.utils.functional")
    promise = getattr(functional, "Promise", None)
    return promise is not None and isinstance(obj, promise)


def object_hook(obj: dict[str, Any]) -> Any:
    """Make a tagged object again; other dicts are returned as they are.

    Raises:
        ValueError: The tag is unknown.
    """
    if len(obj) != 2 or "__type__" not in obj or "__value__" not in obj:
        return obj
    _register_rare_types()
    tag = obj["__type__"]
    decode = _decoders.get(tag) if isinstance(tag, str) else None
    if decode is None:
        raise ValueError(f"unknown type tag {tag!r}; register_type() makes a type known")
    return decode(obj["__value__"])


_slow_encoder = JSONEncoder(check_circular=False, default=default)
_plain_decoder = JSONDecoder()
_typed_decoder = JSONDecoder(object_hook=object_hook)
_scan_plain = _plain_decoder.scan_once  # type: ignore[attr-defined]


def _fast_encoder() -> Callable[[Any, int], tuple[str, ...]] | None:
    """One C encoder for all calls, where `JSONEncoder.encode` makes one per call; None without it.

    No table of visited containers: it would be shared by threads. Cycles end in RecursionError instead.
    """
    make = getattr(_encoder_module, "c_make_encoder", None)
    escape = getattr(_encoder_module, "encode_basestring_ascii", None)
    if make is None or escape is None:
        return None
    try:
        encode: Callable[[Any, int], tuple[str, ...]] = make(
            None, default, escape, None, ": ", ", ", False, False, True
        )
        return encode if "".join(encode([1, {"a": None}], 0)) == '[1, {"a": null}]' else None
    except TypeError:  # another signature in another version
        return None


_c_encode = _fast_encoder()


def dumps(value: Any) -> bytes:
    """Encode as ASCII JSON with ``", "`` and ``": "``."""
    if _c_encode is None:
        return _slow_encoder.encode(value).encode("ascii")
    return "".join(_c_encode(value, 0)).encode("ascii")


def _decode(data: bytes) -> Any:
    """The standard library's decoder, without the cost of a call for white space that is not there."""
    text = str(data, "utf-8")
    try:
        value, end = _scan_plain(text, 0)
    except StopIteration:
        end = -1
    # White space around the value, or a mistake that the full decoder describes.
    return value if end == len(text) else _plain_decoder.decode(text)


def _use_msgspec() -> None:
    """Decode with msgspec from now on, where it is installed."""
    global _c_decode
    try:
        from msgspec.json import Decoder

        _c_decode = Decoder().decode
    except ImportError:
        _c_decode = _decode


#: Values until msgspec is imported, which takes 20 ms and 2 MB and saves some microseconds a value; 0: it was tried.
_values_left = 1000
_c_decode: Callable[[bytes], Any] = _decode


def loads(data: bytes) -> Any:
    """Decode UTF-8 JSON.

    msgspec, three times as fast, is used where it is installed, by a process that has decoded a thousand values.
    What it refuses is left to the standard library, which accepts more: NaN, lone surrogates, exponents out of range.
    """
    global _values_left
    if b"__type__" in data:
        return _typed_decoder.decode(str(data, "utf-8"))
    if _values_left:
        _values_left -= 1
        if not _values_left:
            _use_msgspec()
    try:
        return _c_decode(data)
    except ValueError:
        return _decode(data)


def find_unencodable(value: Any, path: str = "") -> tuple[str, Any] | None:
    """Where the first object without a JSON form is, as a path such as ``[0][1]['when']``, and the object."""
    try:
        dumps(value)
        return None
    except Exception:
        inner = _children(value, path)
    for where, item in inner:
        found = None if type(item) in _HARMLESS else find_unencodable(item, where)
        if found is not None:
            return found
    return path, value


def _children(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (f"{path}[{key!r:.100}]", item)
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            yield (f"{path}[{at}]", item)


def _register(cls: type[T], tag: str, encoder: Callable[[T], Any], decoder: Callable[[Any], T]) -> None:
    _encoders[cls] = (tag, encoder)
    _decoders[tag] = decoder


@cache
def _register_rare_types() -> None:
    """Register the types whose modules take 5 ms to import: most processes meet no tagged object."""
    from decimal import Decimal
    from uuid import UUID

    _register(Decimal, "decimal", str, Decimal)
    _register(UUID, "uuid", lambda value: {"hex": value.hex}, lambda value: UUID(hex=value["hex"]))


_register(datetime, "datetime", datetime.isoformat, datetime.fromisoformat)
_register(date, "date", date.isoformat, lambda text: datetime.fromisoformat(text).date())
_register(time, "time", time.isoformat, time.fromisoformat)
_decoders["bytes"] = lambda text: text.encode()
_decoders["base64"] = lambda text: base64.b64decode(text.encode("ascii"))

__all__ = [
    "default",
    "dumps",
    "find_unencodable",
    "loads",
    "object_hook",
    "register_type",
    "unregister_type",
]
