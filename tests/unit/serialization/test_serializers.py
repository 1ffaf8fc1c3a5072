"""Names, content types, and the gate of accept_content."""

from __future__ import annotations

import codecs
import sys
from typing import Any

import pytest

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError, ImproperlyConfigured
from celeriac.serialization import Codec, SerializerRegistry, register, registry, unregister
from celeriac.serialization import codecs as builtin

JSON_ONLY = frozenset({"application/json"})


def test_the_content_types_are_those_of_celery() -> None:
    observed = {
        "json": ("application/json", "utf-8"),
        "msgpack": ("application/x-msgpack", "binary"),
        "pickle": ("application/x-python-serialize", "binary"),
        "yaml": ("application/x-yaml", "utf-8"),
        "raw": ("application/data", "binary"),
    }
    known = {name: registry.by_name(name) for name in registry.names}
    assert {name: (one.content_type, one.content_encoding) for name, one in known.items()} == observed


def test_a_serializer_is_found_by_name_and_by_content_type() -> None:
    assert registry.by_name("application/json") is registry.by_name("json")
    assert registry.by_content_type("application/json") is registry.by_name("json")
    assert registry.by_content_type("text/csv") is None


def test_an_unknown_serializer_is_named_with_the_known_ones() -> None:
    with pytest.raises(ImproperlyConfigured, match="unknown serializer 'xml': known are json, msgpack"):
        registry.dumps(1, "xml")


def test_accept_set_takes_names_and_content_types() -> None:
    assert registry.accept_set(["json", "application/x-yaml", "text/csv"]) == {
        "application/json",
        "application/x-yaml",
        "text/csv",
    }


def test_accept_set_refuses_unknown_names_and_single_strings() -> None:
    with pytest.raises(ImproperlyConfigured, match="unknown serializer 'jsn'"):
        registry.accept_set(["jsn"])
    with pytest.raises(ImproperlyConfigured, match="must be a list of names, not the string 'json'"):
        registry.accept_set("json")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-python-serialize",
        "application/x-yaml",
        "application/data",
        "application/octet-stream",
        "text/plain",
        "json",
    ],
)
def test_content_that_is_not_accepted_is_refused_undecoded(content_type: str) -> None:
    with pytest.raises(ContentDisallowed) as caught:
        registry.loads(b"cnope\nx\n.", content_type, "binary", JSON_ONLY)
    text = str(caught.value)
    assert content_type in text
    assert "accepted are application/json" in text
    assert "accept_content" in text


def test_nothing_is_accepted_by_an_empty_set() -> None:
    with pytest.raises(ContentDisallowed, match="accepted are none"):
        registry.loads(b"1", "application/json", "utf-8", frozenset())


@pytest.mark.parametrize("encoding", ["utf-8", "us-ascii", "binary", "nonsense", None])
def test_a_serializer_decides_about_the_encoding_itself(encoding: str | None) -> None:
    assert registry.loads(b'["a"]', "application/json", encoding, JSON_ONLY) == ["a"]


@pytest.mark.parametrize(
    ("encoding", "value"), [("utf-8", "é"), (None, "é"), ("latin-1", "Ã©"), ("binary", b"\xc3\xa9")]
)
def test_content_without_a_type_is_text_or_bytes(encoding: str | None, value: Any) -> None:
    assert registry.loads("é".encode(), None, encoding, JSON_ONLY) == value


def test_accepted_types_without_a_serializer_are_text_or_bytes() -> None:
    accept = frozenset({"text/plain", "application/octet-stream"})
    assert registry.loads(b"abc", "text/plain", "utf-8", accept) == "abc"
    assert registry.loads(b"abc", "application/octet-stream", "binary", accept) == b"abc"


@pytest.mark.parametrize("encoding", ["utf-8", "nonsense"])
def test_text_of_another_encoding_raises_a_decode_error(encoding: str) -> None:
    with pytest.raises(DecodeError, match=encoding):
        registry.loads(b"\xff", None, encoding, JSON_ONLY)


def test_raw_tells_text_from_bytes() -> None:
    assert registry.dumps("abc", "raw") == ("application/data", "utf-8", b"abc")
    assert registry.dumps(b"abc", "raw") == ("application/data", "binary", b"abc")
    with pytest.raises(EncodeError, match="raw cannot encode a list"):
        registry.dumps([1], "raw")


def test_a_registered_pair_of_functions_is_a_serializer() -> None:
    register("rot13", lambda value: codecs.encode(value, "rot13"), lambda data: data, "application/x-rot13")
    try:
        assert registry.dumps("abc", "rot13") == ("application/x-rot13", "utf-8", b"nop")
        assert registry.loads(b"nop", "application/x-rot13", "utf-8", registry.accept_set(["rot13"])) == b"nop"
    finally:
        unregister("rot13")
    with pytest.raises(ImproperlyConfigured):
        registry.by_name("rot13")
    with pytest.raises(ImproperlyConfigured, match="rot13"):
        unregister("rot13")


def test_whatever_a_registered_function_raises_is_an_encode_or_decode_error() -> None:
    def fail(_: Any) -> Any:
        raise KeyError("inner")

    own = SerializerRegistry([Codec("bad", "x/bad", "binary", fail, fail)])
    with pytest.raises(EncodeError, match="inner"):
        own.dumps(1, "bad")
    with pytest.raises(DecodeError, match="inner"):
        own.loads(b"1", "x/bad", "binary", {"x/bad"})


@pytest.mark.parametrize(
    ("name", "package", "cached"), [("yaml", "yaml", builtin._yaml), ("msgpack", "msgpack", builtin._msgpack)]
)
def test_a_missing_package_names_the_extra(
    name: str, package: str, cached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    cached.cache_clear()
    with pytest.raises(ImproperlyConfigured, match=rf"serializer '{name}'.*celeriac\[{name}\]"):
        registry.dumps([], name)
    with pytest.raises(ImproperlyConfigured, match=rf"celeriac\[{name}\]"):
        registry.loads(b"", registry.by_name(name).content_type, None, registry.accept_set([name]))
    cached.cache_clear()
