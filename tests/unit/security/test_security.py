"""Messages are signed, and those of strangers are refused before they are decoded."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.exceptions import ContentDisallowed, DecodeError, ImproperlyConfigured, SecurityError
from celeriac.security import disable_untrusted_serializers, setup_security
from celeriac.security.certificate import Certificate, FSCertStore
from celeriac.security.key import PrivateKey
from celeriac.security.serialization import SecureSerializer, Untrusted
from celeriac.serialization import registry
from celeriac.serialization import serializers as serializers_module
from tests.support.certificates import Identity, make_identity

if TYPE_CHECKING:
    from pathlib import Path

VALUE = [["æ", 1], {"a": None}, {}]


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry of the process is as before afterwards."""
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    monkeypatch.setattr(registry, "_by_type", dict(registry._by_type))
    monkeypatch.setattr(registry, "_enabled", registry._enabled)


@pytest.fixture
def alice(tmp_path: Path) -> Identity:
    return make_identity(tmp_path, "alice")


def serializer(identity: Identity, store: Path | str, **options: Any) -> SecureSerializer:
    certificate = Certificate(identity.certificate.read_bytes())
    return SecureSerializer(PrivateKey(identity.key.read_bytes()), certificate, FSCertStore(str(store)), **options)


def settings(identity: Identity) -> dict[str, Any]:
    return {
        "security_key": str(identity.key),
        "security_certificate": str(identity.certificate),
        "security_cert_store": str(identity.certificate.parent / "*.pem"),
        "task_serializer": "auth",
        "accept_content": ["auth"],
    }


def test_what_is_signed_is_read(alice: Identity) -> None:
    auth = serializer(alice, alice.certificate.parent)
    assert auth.loads(auth.dumps(VALUE)) == VALUE


def test_the_form_is_that_of_celery(alice: Identity) -> None:
    data = base64.b64decode(serializer(alice, alice.certificate.parent).dumps([1]))
    signer, signature, *rest = data.split(b"\0\1")
    certificate = Certificate(alice.certificate.read_bytes())
    assert base64.b64decode(signer).decode() == f"NO Sel & søn alice {certificate.get_serial_number()}"
    certificate.verify(b"[1]", base64.b64decode(signature))
    assert rest == [b"application/json", b"utf-8", b"[1]"]


def test_content_may_hold_the_separator(alice: Identity) -> None:
    auth = serializer(alice, alice.certificate.parent, serializer="pickle")
    assert auth.loads(auth.dumps(b"\0\1\0\1")) == b"\0\1\0\1"


def test_a_changed_message_is_refused(alice: Identity) -> None:
    auth = serializer(alice, alice.certificate.parent)
    forged = base64.b64encode(base64.b64decode(auth.dumps([1])).replace(b"[1]", b"[2]"))
    with pytest.raises(Untrusted, match="Bad signature: it is not one of NO Sel & søn alice") as caught:
        auth.loads(forged)
    assert isinstance(caught.value, DecodeError)


def test_a_stranger_is_refused(alice: Identity, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    mallory = make_identity(tmp_path / "elsewhere", "mallory")
    data = serializer(mallory, mallory.certificate.parent).dumps([1])
    with pytest.raises(Untrusted, match="Unknown certificate 'NO Sel & søn mallory"):
        serializer(alice, alice.certificate.parent).loads(data)


@pytest.mark.parametrize("data", [b"", b"no base64!", b"YWJj", base64.b64encode(b"a\0\1b\0\1c\0\1d\0\1e")])
def test_what_is_no_signed_message_is_refused(alice: Identity, data: bytes) -> None:
    with pytest.raises(Untrusted, match="no signed message"):
        serializer(alice, alice.certificate.parent).loads(data)


def test_a_certificate_that_expires_meanwhile_is_no_longer_trusted(
    alice: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = serializer(alice, alice.certificate.parent)
    data = auth.dumps([1])
    monkeypatch.setattr(Certificate, "has_expired", lambda self: True)
    with pytest.raises(Untrusted, match=r"has expired on .*: renew it"):
        auth.loads(data)


def test_signed_content_of_other_serializers_is_refused_unless_allowed(alice: Identity) -> None:
    data = serializer(alice, alice.certificate.parent, serializer="pickle").dumps([1])
    with pytest.raises(ContentDisallowed, match="pickle"):
        serializer(alice, alice.certificate.parent).loads(data)
    assert serializer(alice, alice.certificate.parent, allowed=["pickle"]).loads(data) == [1]


def test_another_hash_function_signs(alice: Identity) -> None:
    auth = serializer(alice, alice.certificate.parent, digest="sha512")
    assert auth.loads(auth.dumps([1])) == [1]
    with pytest.raises(Untrusted, match="with sha256"):
        serializer(alice, alice.certificate.parent).loads(auth.dumps([1]))
    with pytest.raises(ImproperlyConfigured, match="security_digest is 'crc'"):
        serializer(alice, alice.certificate.parent, digest="crc")


def test_an_expired_certificate_is_not_stored(tmp_path: Path) -> None:
    old = make_identity(tmp_path, "old", days=-1)
    with pytest.raises(SecurityError, match=r"old\.pem .* has expired"):
        FSCertStore(str(old.certificate.parent))


def test_two_certificates_of_one_id_are_refused(tmp_path: Path) -> None:
    one = make_identity(tmp_path, "twice", serial=7)
    one.certificate.rename(one.certificate.with_name("first.pem"))
    make_identity(tmp_path, "twice", serial=7)
    with pytest.raises(SecurityError, match="have one id: NO Sel & søn twice 7"):
        FSCertStore(str(one.certificate.parent))


def test_a_store_without_certificates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecurityError, match="holds no certificate"):
        FSCertStore(str(tmp_path))


def test_a_key_has_a_password(tmp_path: Path) -> None:
    locked = make_identity(tmp_path, "locked", password=b"sesame")
    PrivateKey(locked.key.read_bytes(), b"sesame")
    with pytest.raises(SecurityError, match=r"private key .*locked\.key cannot be read"):
        PrivateKey(locked.key.read_bytes(), b"wrong", str(locked.key))


def test_what_is_no_certificate_is_refused(alice: Identity) -> None:
    with pytest.raises(SecurityError, match="certificate x cannot be read"):
        Certificate(alice.key.read_bytes(), "x")


@pytest.mark.usefixtures("own_registry")
def test_an_app_signs_and_reads_signed_messages_only(alice: Identity) -> None:
    app = Celery("signing", broker="memory://", set_as_current=False, **settings(alice))
    app.setup_security()
    assert app.accept_content == {"application/data"}
    content_type, encoding, data = registry.dumps(VALUE, "auth")
    assert (content_type, encoding) == ("application/data", "utf-8")
    assert registry.loads(data, content_type, encoding, app.accept_content) == VALUE
    with pytest.raises(ContentDisallowed):
        registry.loads(b"[]", "application/json", "utf-8", app.accept_content)
    with pytest.raises(ContentDisallowed):
        registry.loads(b"[]", "application/json", "utf-8")
    app.close()


def test_what_is_not_set_is_named(alice: Identity) -> None:
    conf = {**settings(alice), "security_cert_store": None}
    with pytest.raises(ImproperlyConfigured, match="set security_cert_store"):
        Celery("signing", set_as_current=False, **conf).setup_security()


@pytest.mark.parametrize("change", [{"task_serializer": "json"}, {"accept_content": ["auth", "json"]}])
def test_settings_that_would_let_unsigned_messages_pass_are_refused(alice: Identity, change: dict[str, Any]) -> None:
    app = Celery("signing", set_as_current=False, **{**settings(alice), "accept_content": ["auth"], **change})
    with pytest.raises(ImproperlyConfigured, match="task_serializer='auth' and accept_content="):
        setup_security(app=app)


def test_auth_without_setup_says_what_to_call() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"call app.setup_security\(\)"):
        serializers_module.SerializerRegistry().by_name("auth")


@pytest.mark.usefixtures("own_registry")
def test_what_readers_accept_by_default_can_be_said() -> None:
    assert registry.loads(b"[1]", "application/json", "utf-8") == [1]
    disable_untrusted_serializers(["yaml"])
    with pytest.raises(ContentDisallowed):
        registry.loads(b"[1]", "application/json", "utf-8")
    assert registry.loads(b"[1]", "application/x-yaml", "utf-8") == [1]
