"""Digests that name things: scripts, keys, lock numbers.  Nothing here is for secrets or signatures."""

from __future__ import annotations

try:
    # hashlib loads OpenSSL first: 10 ms, and 3.6 MB in each process of a worker.
    from _sha1 import sha1  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from hashlib import sha1


def sha1_hex(text: str) -> str:
    """SHA-1 of UTF-8 text, as Redis names scripts by."""
    return str(sha1(text.encode(), usedforsecurity=False).hexdigest())
