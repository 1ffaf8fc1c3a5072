"""RSA keys and the certificates of their owners, in files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path


class Identity(NamedTuple):
    """A key and its certificate.

    Attributes:
        key: Its file.
        certificate: The file of the certificate.
    """

    key: Path
    certificate: Path


@cache
def _rsa_key(_name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def make_identity(
    directory: Path, name: str, *, days: float = 30, serial: int | None = None, password: bytes | None = None
) -> Identity:
    """Make a key, the same for each name in this process, and a new certificate for it.

    Args:
        directory: Gets ``name.key`` and ``certs/name.pem``.
        name: Of the owner, who is the issuer too.
        days: How long it is valid from now; negative is expired.
        serial: Its number; None is a random one.
        password: Of the key.
    """
    key = _rsa_key(name)
    owner = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "NO"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sel & søn"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(owner)
        .issuer_name(owner)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    made = Identity(directory / f"{name}.key", directory / "certs" / f"{name}.pem")
    made.certificate.parent.mkdir(exist_ok=True)
    made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return made
