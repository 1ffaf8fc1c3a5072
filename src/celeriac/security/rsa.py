"""RSA signatures and X.509 certificates, by the package ``cryptography``.  Whom to trust is decided elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from celeriac.exceptions import ImproperlyConfigured, SecurityError

if TYPE_CHECKING:
    from datetime import datetime

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.x509 import load_pem_x509_certificate
except ImportError as exc:
    raise ImproperlyConfigured(
        f"The serializer 'auth' needs the package 'cryptography', which cannot be imported ({exc}): "
        "run `pip install 'celeriac[auth]'`"
    ) from exc

__all__ = ["CertificateData", "check_digest", "load_certificate", "load_private_key", "sign", "verify"]


class CertificateData(NamedTuple):
    """What is used of a certificate.

    Attributes:
        public_key: Verifies what its owner signed.
        issuer: The values of its issuer's name.
        serial_number: Its number among those of the issuer.
        not_after: When it expires.
    """

    public_key: RSAPublicKey
    issuer: str
    serial_number: int
    not_after: datetime


def check_digest(name: str) -> None:
    """Refuse a hash function that does not exist.

    Raises:
        ImproperlyConfigured: There is none of that name.
    """
    _hash(name)


def _hash(name: str) -> hashes.HashAlgorithm:
    found = getattr(hashes, name.upper().replace("-", "_"), None)
    if not (isinstance(found, type) and issubclass(found, hashes.HashAlgorithm)):
        raise ImproperlyConfigured(f"security_digest is {name!r}: name a hash function such as 'sha256'")
    try:
        # Some take the size of their output.
        return cast("hashes.HashAlgorithm", cast("Any", found)())
    except TypeError:
        raise ImproperlyConfigured(f"security_digest {name!r} has no fixed size: use one such as 'sha256'") from None


def load_private_key(pem: bytes, password: bytes | None, where: str) -> RSAPrivateKey:
    """Read a private key.

    Args:
        pem: Its text.
        password: Its password.
        where: Names it in errors.

    Raises:
        SecurityError: It cannot be read, or is no RSA key.
    """
    try:
        key = serialization.load_pem_private_key(pem, password)
    except (ValueError, TypeError) as exc:
        raise SecurityError(f"The private key {where} cannot be read: {exc}") from exc
    except Exception as exc:
        raise SecurityError(f"The private key {where} cannot be used: {exc}") from exc
    if not isinstance(key, RSAPrivateKey):
        raise SecurityError(f"The private key {where} is a {type(key).__name__}: only RSA keys can sign messages")
    return key


def load_certificate(pem: bytes, where: str) -> CertificateData:
    """Read a certificate.

    Args:
        pem: Its text.
        where: Names it in errors.

    Raises:
        SecurityError: It cannot be read, or its key is no RSA key.
    """
    try:
        certificate = load_pem_x509_certificate(pem)
        key: Any = certificate.public_key()
    except Exception as exc:
        raise SecurityError(f"The certificate {where} cannot be read: {exc}") from exc
    if not isinstance(key, RSAPublicKey):
        raise SecurityError(f"The certificate {where} has a {type(key).__name__}: only RSA keys can sign messages")
    issuer = " ".join(str(attribute.value) for attribute in certificate.issuer)
    return CertificateData(key, issuer, certificate.serial_number, certificate.not_valid_after_utc)


def _padding(digest: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(mgf=padding.MGF1(digest), salt_length=padding.PSS.MAX_LENGTH)


def sign(key: RSAPrivateKey, data: bytes, digest: str) -> bytes:
    """The signature of data."""
    algorithm = _hash(digest)
    return key.sign(data, _padding(algorithm), algorithm)


def verify(key: RSAPublicKey, data: bytes, signature: bytes, digest: str) -> bool:
    """Tell whether the owner of the key signed the data."""
    algorithm = _hash(digest)
    try:
        key.verify(signature, data, _padding(algorithm), algorithm)
    except InvalidSignature:
        return False
    return True
