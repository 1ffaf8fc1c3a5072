from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from celeriac import Celery
from celeriac.compat.kombu import encoding, json, original, serialization
from celeriac.compat.kombu.connection import Connection
from celeriac.exceptions import ContentDisallowed, ImproperlyConfigured
from celeriac.messaging import Producer
from celeriac.serialization import SerializerRegistry, registry
from celeriac.serialization.codecs import BUILTIN


def test_a_serializer_that_is_registered_there_is_one_of_apps(door: None) -> None:
    module: Any = importlib.import_module("kombu.serialization")
    module.register("reversed", lambda s: s[::-1].encode(), lambda b: b.decode()[::-1], "application/x-reversed")
    try:
        app = Celery("uses", set_as_current=False, task_serializer="reversed", accept_content=["reversed"])
        assert app.accept_content == {"application/x-reversed"}
        assert registry.dumps("abc", "reversed") == ("application/x-reversed", "utf-8", b"cba")
        assert module.registry.name_to_type["reversed"] == "application/x-reversed"
    finally:
        module.unregister("reversed")


def test_values_are_encoded_as_kombu_does() -> None:
    assert serialization.dumps("text") == ("text/plain", "utf-8", "text")
    assert serialization.dumps(b"data") == ("application/data", "binary", b"data")
    content_type, encoding_, data = serialization.dumps({"a": 1})
    assert (content_type, encoding_, data) == ("application/json", "utf-8", '{"a": 1}')
    assert serialization.loads(data, content_type, encoding_) == {"a": 1}
    with pytest.raises(ContentDisallowed):
        serialization.loads(b"", "application/x-python-serialize", "binary")
    with pytest.raises(NotImplementedError, match="accept_content"):
        serialization.enable_insecure_serializers()


def test_a_connection_is_made_from_parts_or_a_url() -> None:
    assert Connection("memory://").as_uri() == "memory://"
    made = Connection("host", userid="me", password="pass word", virtual_host="v/h", transport="amqp", port=1234)
    assert made.as_uri() == "amqp://me:**@host:1234/v%2Fh"


def test_what_brokers_cannot_do_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="on_return"):
        Producer(Connection("memory://"), on_return=print)
    with pytest.raises(ImproperlyConfigured, match="immediate"):
        Producer(Connection("memory://")).publish("x", immediate=True)
    with pytest.raises(ImproperlyConfigured, match="queues and exchanges"):
        Producer(Connection("memory://")).publish("x", declare=[1])


def test_texts_and_json() -> None:
    assert encoding.bytes_to_str(b"a") == "a" and encoding.str_to_bytes("a") == b"a"
    assert encoding.safe_str(1) == "1"
    assert json.loads(json.dumps({"a": 1})) == {"a": 1}


def test_serializers_of_the_original_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    described = SimpleNamespace(content_encoding="binary", encoder=lambda value: bytes([value]))
    theirs = SimpleNamespace(
        name_to_type={"byte": "application/x-byte", "json": "application/json"},
        type_to_name={"application/x-byte": "byte", "application/json": "json"},
        _encoders={"byte": described},
        _decoders={"application/x-byte": lambda data: data[0]},
    )
    monkeypatch.setitem(sys.modules, "kombu.serialization", SimpleNamespace(registry=theirs))
    mine = SerializerRegistry(BUILTIN)
    monkeypatch.setattr(original, "registry", mine)
    original.share_serializers()

    assert mine.accept_set(["byte"]) == {"application/x-byte"}
    assert mine.dumps(7, "byte") == ("application/x-byte", "binary", b"\7")
    assert mine.loads(b"\7", "application/x-byte", "binary", {"application/x-byte"}) == 7
    assert mine.by_name("json") is registry.by_name("json")
    with pytest.raises(ImproperlyConfigured, match="unknown serializer 'nothing'"):
        mine.by_name("nothing")
