"""`SecureSerializer`, which signs and verifies what another serializer writes and reads."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import DecodeError, SecurityError
from celeriac.security.certificate import Certificate, CertStore, FSCertStore
from celeriac.security.key import PrivateKey
from celeriac.security.rsa import check_digest
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SecureSerializer", "Untrusted", "register_auth"]

#: Between the parts of a signed message: signer, signature, content type, content encoding, content.
_SEPARATOR: Final = b"\0\1"


class Untrusted(SecurityError, DecodeError):
    """A message was not signed by anybody who is trusted."""


class SecureSerializer:
    """The serializer ``auth``.

    Args:
        key: Signs.
        cert: Names the signer to others.
        cert_store: Whom to trust.
        digest: Hash function.
        serializer: Writes the content.
        allowed: Serializers that may read content besides ``serializer``.
    """

    name = "auth"
    content_type = "application/data"
    content_encoding = "utf-8"

    def __init__(
        self,
        key: PrivateKey,
        cert: Certificate,
        cert_store: CertStore,
        digest: str = "sha256",
        serializer: str = "json",
        allowed: Iterable[str] = (),
    ) -> None:
        check_digest(digest)
        self._key = key
        self._cert = cert
        self._store = cert_store
        self._digest = digest
        self._serializer = serializer
        self._accept = registry.accept_set({serializer, *allowed}) - {self.content_type}

    def dumps(self, value: Any) -> bytes:
        content_type, content_encoding, content = registry.dumps(value, self._serializer)
        signature = self._key.sign(content, self._digest)
        parts = (
            base64.b64encode(self._cert.get_id().encode()),
            base64.b64encode(signature),
            content_type.encode(),
            content_encoding.encode(),
            content,
        )
        return base64.b64encode(_SEPARATOR.join(parts))

    def loads(self, data: bytes) -> Any:
        """Decode, if somebody trusted signed it.

        Raises:
            Untrusted: Nobody who is trusted did, or the data is malformed.
            ContentDisallowed: The content is of no serializer that is allowed.
            DecodeError: The content is not of its type.
        """
        try:
            signer, signature, content_type, content_encoding, content = _unpack(data)
            certificate = self._store[signer]
            certificate.check_validity()
            certificate.verify(content, signature, self._digest)
        except SecurityError as exc:
            raise Untrusted(f"Refusing a message: {exc}") from exc
        return registry.loads(content, content_type, content_encoding, self._accept)


def _unpack(data: bytes) -> tuple[bytes, bytes, str, str, bytes]:
    try:
        parts = base64.b64decode(data, validate=True).split(_SEPARATOR, 4)
        signer, signature, content_type, content_encoding, content = parts
        return (
            base64.b64decode(signer, validate=True),
            base64.b64decode(signature, validate=True),
            content_type.decode(),
            content_encoding.decode(),
            content,
        )
    except (binascii.Error, ValueError) as exc:
        raise SecurityError(f"{len(data)} bytes of data are no signed message: {exc}") from exc


def register_auth(
    key: str,
    cert: str,
    store: str,
    *,
    key_password: bytes | None = None,
    digest: str = "sha256",
    serializer: str = "json",
    allowed: Iterable[str] = (),
) -> None:
    """Register the serializer ``auth``.

    Args:
        key: File with the private key.
        cert: File with the certificate.
        store: Directory or glob of trusted certificates.
        key_password: Password of the key.
        digest: Hash function.
        serializer: Writes the content.
        allowed: Serializers that may read content besides ``serializer``.

    Raises:
        SecurityError: A key or a certificate cannot be used, or has expired.
    """
    own = Certificate(_read(cert, "security_certificate"), cert)
    own.check_validity()
    private = PrivateKey(_read(key, "security_key"), key_password, key)
    registry.register(SecureSerializer(private, own, FSCertStore(store), digest, serializer, allowed))


def _read(path: str, setting: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise SecurityError(f"{setting} {path!r} cannot be read: {exc}") from exc
