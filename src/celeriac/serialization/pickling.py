"""Pickles that Celery's processes can read, and the other way round.  It does not decide whom to trust."""

from __future__ import annotations

import io
import os
import pickle
import pkgutil
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ImproperlyConfigured
from celeriac.serialization.wire_names import own_module, resolve_wire_name, wire_module

if TYPE_CHECKING:
    from collections.abc import Callable


def _protocol() -> int:
    """Pickle protocol: 4, or that of the variable ``PICKLE_PROTOCOL``."""
    text = os.environ.get("PICKLE_PROTOCOL", "4")
    if not text.isdecimal() or int(text) > pickle.HIGHEST_PROTOCOL:
        raise ImproperlyConfigured(
            f"PICKLE_PROTOCOL={text!r} in the environment is not a number from 0 to {pickle.HIGHEST_PROTOCOL}"
        )
    return int(text)


class _WirePickler(pickle.Pickler):
    """Writes our public classes as a call that finds Celery's class of the same meaning."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, (type, type(_protocol))):
            return NotImplemented
        module, name = obj.__module__ or "", obj.__qualname__
        wire = wire_module(module, name)
        if wire == module:
            return NotImplemented
        # A reference by name would be checked by importing Celery; a call is not.
        return pkgutil.resolve_name, (f"{wire}:{name}",)


class _WireUnpickler(pickle.Unpickler):
    """Finds our classes where a pickle names Celery's."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name == "pkgutil" and global_name == "resolve_name":
            return resolve_wire_name
        if own_module(module_name) is not None:
            return resolve_wire_name(f"{module_name}:{global_name}")
        return super().find_class(module_name, global_name)


PROTOCOL = _protocol()


def dumps(value: Any) -> bytes:
    """Pickle; see the module."""
    data = pickle.dumps(value, PROTOCOL)
    if b"celeriac" not in data:
        return data
    buffer = io.BytesIO()
    _WirePickler(buffer, PROTOCOL).dump(value)
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """Unpickle; see the module."""
    load: Callable[[bytes], Any] = pickle.loads
    if b"celery" in data or b"billiard" in data or b"kombu" in data:
        return _WireUnpickler(io.BytesIO(data)).load()
    return load(data)
