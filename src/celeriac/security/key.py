"""`PrivateKey`: signs."""

from __future__ import annotations

from celeriac.security.rsa import load_private_key, sign

__all__ = ["PrivateKey"]


class PrivateKey:
    """A private RSA key.

    Args:
        key: Its PEM text.
        password: Its password.
        where: Names it in errors: its file.

    Raises:
        SecurityError: It cannot be used.
    """

    def __init__(self, key: bytes | str, password: bytes | str | None = None, where: str = "given") -> None:
        pem = key.encode() if isinstance(key, str) else key
        self._key = load_private_key(pem, password.encode() if isinstance(password, str) else password, where)

    def sign(self, data: bytes | str, digest: str = "sha256") -> bytes:
        """The signature of data, with a hash function."""
        return sign(self._key, data.encode() if isinstance(data, str) else data, digest)
