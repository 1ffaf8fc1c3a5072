"""Signed messages: the serializer ``auth``.

The body of a message is signed with the private key of its sender and read only if a trusted certificate confirms
it. Its headers, among them the name of the task, are not covered: that is the wire format of Celery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.current import get_current_app
from celeriac.exceptions import ImproperlyConfigured
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DEFAULT_SECURITY_DIGEST", "disable_untrusted_serializers", "setup_security"]

DEFAULT_SECURITY_DIGEST: Final = "sha256"
_NEEDED: Final = ("security_key", "security_certificate", "security_cert_store")


def setup_security(
    allowed_serializers: Iterable[str] | None = None,
    key: str | None = None,
    key_password: bytes | None = None,
    cert: str | None = None,
    store: str | None = None,
    digest: str | None = None,
    serializer: str = "json",
    app: Any = None,
) -> None:
    """Register the serializer ``auth``; call it after the settings are made.

    Args:
        allowed_serializers: Serializers, besides ``serializer``, that signed messages of others may use; those that
            are not signed are refused in any case, because ``accept_content`` has to be ``["auth"]``.
        key: File with the private key; None is ``security_key``.
        key_password: Its password; None is ``security_key_password``.
        cert: File with the certificate; None is ``security_certificate``.
        store: Directory or glob of trusted certificates; None is ``security_cert_store``.
        digest: Hash function; None is ``security_digest``.
        serializer: What the signed content is written with.
        app: The app; None is the current one.

    Raises:
        ImproperlyConfigured: A setting is missing or does not fit, or the package ``cryptography`` is missing.
        SecurityError: A key or a certificate cannot be used, or has expired.
    """
    # Where it fails, cryptography is missing.
    from celeriac.security.serialization import register_auth

    conf = (app or get_current_app()).conf
    if conf.task_serializer != "auth" or list(conf.accept_content) != ["auth"]:
        raise ImproperlyConfigured(
            "setup_security() signs messages only with task_serializer='auth' and accept_content=['auth'], they are "
            f"{conf.task_serializer!r} and {conf.accept_content!r}"
        )
    paths = (key or conf.security_key, cert or conf.security_certificate, store or conf.security_cert_store)
    missing = [name for name, path in zip(_NEEDED, paths, strict=True) if not path]
    if missing:
        raise ImproperlyConfigured(f"setup_security() needs a key, a certificate and a store: set {', '.join(missing)}")
    allowed = list(allowed_serializers or ())
    register_auth(
        *map(str, paths),
        key_password=key_password or conf.security_key_password,
        digest=digest or conf.security_digest or DEFAULT_SECURITY_DIGEST,
        serializer=serializer,
        allowed=allowed,
    )
    disable_untrusted_serializers({"auth", *allowed})


def disable_untrusted_serializers(whitelist: Iterable[str] | None = None) -> None:
    """Let readers that do not say what they accept accept these serializers only.

    Tasks, results, events and remote control do say it: ``accept_content`` and ``result_accept_content``.

    Args:
        whitelist: Names or content types; None is none.
    """
    registry.enable_only(whitelist or ())
