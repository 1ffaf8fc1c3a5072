"""Random ids: version 4 UUIDs as text, made in batches.  UUID objects are the standard library's job."""

from __future__ import annotations

import os
from struct import Struct

_BATCH = 64
#: Version 4 and variant 10, and all the other bits; repeated for a whole batch.
_FIXED_BITS = int("00000000000040008000000000000000" * _BATCH, 16)
_RANDOM_BITS = int("ffffffffffff0fff3fffffffffffffff" * _BATCH, 16)
_take_apart = Struct("8s4s4s4s12s").iter_unpack
#: Ready ids. ``list.pop`` is atomic, so threads never get the same one.
_ready: list[str] = []


def uuid4() -> str:
    """A random UUID (RFC 9562, version 4) in its canonical 36-character form.

    Safe in threads; a forked child never repeats an id of its parent.
    """
    try:
        return _ready.pop()
    except IndexError:
        return _refill()


def _refill() -> str:
    """Make one batch from a single system call and return one of it."""
    number = int.from_bytes(os.urandom(16 * _BATCH), "big") & _RANDOM_BITS | _FIXED_BITS
    digits = number.to_bytes(16 * _BATCH, "big").hex().encode()
    batch = b" ".join(map(b"-".join, _take_apart(digits))).decode().split()
    result = batch.pop()
    _ready.extend(batch)
    return result


if hasattr(os, "register_at_fork"):
    # Otherwise parent and child would hand out the same ids.
    os.register_at_fork(after_in_child=_ready.clear)
