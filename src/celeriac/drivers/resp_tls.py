"""The TLS context of a Redis connection.  Imported when a connection uses TLS, since it loads OpenSSL."""

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING, Any

from celeriac.drivers.resp_params import boolean
from celeriac.exceptions import ImproperlyConfigured, SecurityWarning

if TYPE_CHECKING:
    from collections.abc import Mapping

_CERT_REQS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """A context that verifies the server unless the options say otherwise.

    Args:
        options: ``certfile``, ``keyfile``, ``password``, ``ca_certs``, ``ca_path``, ``cert_reqs``, ``check_hostname``,
            ``ciphers``, each with or without the prefix ``ssl_``.

    Raises:
        ImproperlyConfigured: ``cert_reqs`` has an unknown value.
    """
    context = ssl.create_default_context(cafile=_option(options, "ca_certs"), capath=_option(options, "ca_path"))
    required = _certificate_requirement(_option(options, "cert_reqs"))
    check_hostname = _option(options, "check_hostname")
    context.check_hostname = required == ssl.CERT_REQUIRED and (check_hostname is None or boolean(check_hostname))
    context.verify_mode = required
    certfile = _option(options, "certfile")
    if certfile:
        context.load_cert_chain(certfile, _option(options, "keyfile"), _option(options, "password"))
    ciphers = _option(options, "ciphers")
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def _option(options: Mapping[str, Any], name: str) -> Any:
    """The option under its name in redis-py (``ssl_certfile``) or in py-amqp (``certfile``)."""
    return options.get(f"ssl_{name}", options.get(name))


def _certificate_requirement(value: Any) -> ssl.VerifyMode:
    if value is None:
        return ssl.CERT_REQUIRED
    name = value.name if isinstance(value, ssl.VerifyMode) else str(value)
    found = _CERT_REQS.get(name.upper().removeprefix("CERT_").lower())
    if found is None:
        raise ImproperlyConfigured(
            f"ssl_cert_reqs is {value!r}; it has to be one of required, optional, none "
            "(or CERT_REQUIRED, CERT_OPTIONAL, CERT_NONE)"
        )
    if found is not ssl.CERT_REQUIRED:
        warnings.warn(
            f"ssl_cert_reqs={name}: the Redis server's certificate is not verified, so that a third party "
            "can pose as the server",
            SecurityWarning,
            stacklevel=5,
        )
    return found
