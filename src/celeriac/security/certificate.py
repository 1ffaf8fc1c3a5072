"""`Certificate`, and the stores of those that are trusted."""

from __future__ import annotations

import glob
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from celeriac.exceptions import SecurityError
from celeriac.security.rsa import load_certificate, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CertStore", "Certificate", "FSCertStore"]


class Certificate:
    """A certificate.

    Args:
        cert: Its PEM text.
        where: Names it in errors: its file.

    Raises:
        SecurityError: It cannot be used.
    """

    def __init__(self, cert: bytes | str, where: str = "given") -> None:
        self._data = load_certificate(cert.encode() if isinstance(cert, str) else cert, where)
        self.where = where

    def has_expired(self) -> bool:
        """Its time is over."""
        return datetime.now(UTC) >= self._data.not_after

    def get_serial_number(self) -> int:
        """Its number among those of the issuer."""
        return self._data.serial_number

    def get_issuer(self) -> str:
        """The values of its issuer's name."""
        return self._data.issuer

    def get_id(self) -> str:
        """What names it in messages: issuer and serial number."""
        return f"{self.get_issuer()} {self.get_serial_number()}"

    def check_validity(self) -> None:
        """Refuse to go on with it when its time is over.

        Raises:
            SecurityError: It has expired.
        """
        if self.has_expired():
            raise SecurityError(
                f"The certificate {self.where} ({self.get_id()}) has expired on {self._data.not_after}: renew it"
            )

    def verify(self, data: bytes, signature: bytes, digest: str = "sha256") -> None:
        """Refuse data that its owner did not sign.

        Raises:
            SecurityError: The signature is not that of the data.
        """
        if not verify(self._data.public_key, data, signature, digest):
            raise SecurityError(f"Bad signature: it is not one of {self.get_id()} with {digest} for this content")


class CertStore:
    """Trusted certificates, by their ids."""

    def __init__(self) -> None:
        self._certs: dict[str, Certificate] = {}

    def itercerts(self) -> Iterator[Certificate]:
        """All of them."""
        return iter(self._certs.values())

    def __getitem__(self, cert_id: bytes | str) -> Certificate:
        """The one with an id.

        Raises:
            SecurityError: There is none.
        """
        name = cert_id.decode(errors="replace") if isinstance(cert_id, bytes) else cert_id
        try:
            return self._certs[name]
        except KeyError:
            raise SecurityError(f"Unknown certificate {name!r}: it is not in security_cert_store") from None

    def add_cert(self, cert: Certificate) -> None:
        """Trust one.

        Raises:
            SecurityError: Another one has the same id.
        """
        known = self._certs.setdefault(cert.get_id(), cert)
        if known is not cert:
            raise SecurityError(f"The certificates {known.where} and {cert.where} have one id: {cert.get_id()}")


class FSCertStore(CertStore):
    """The certificates in files.

    Args:
        path: A directory, of which every file is read, or a glob.

    Raises:
        SecurityError: One cannot be used, has expired or is there twice; or there is none.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        place = Path(path)
        found = list(place.glob("*")) if place.is_dir() else map(Path, glob.glob(path))  # noqa: PTH207 - may be absolute
        for file in sorted(one for one in found if one.is_file()):
            certificate = Certificate(file.read_bytes(), str(file))
            certificate.check_validity()
            self.add_cert(certificate)
        if not self._certs:
            raise SecurityError(
                f"security_cert_store {path!r} holds no certificate: give a directory or a glob of some"
            )
