"""What every serializer promises: one body, run with each of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError
from celeriac.serialization import registry
from celeriac.serialization.failures import decode_exception, encode_exception

SERIALIZERS = ["json", "pickle", "yaml", "msgpack"]

#: What every format can carry.  YAML has no surrogates and no control characters in plain text.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
        st.binary(max_size=20),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=15,
)
BODY = [[1, "two"], {"x": None}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


@pytest.fixture(params=SERIALIZERS, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def there_and_back(value: Any, name: str) -> Any:
    content_type, encoding, data = registry.dumps(value, name)
    return registry.loads(data, content_type, encoding, registry.accept_set([name]))


@settings(max_examples=60, deadline=None)
@given(value=VALUES)
def test_values_come_back(name: str, value: Any) -> None:
    assert there_and_back(value, name) == value


def test_the_body_of_a_task_comes_back(name: str) -> None:
    assert there_and_back(BODY, name) == BODY


def test_the_declared_type_is_the_one_on_the_wire(name: str) -> None:
    serializer = registry.by_name(name)
    content_type, encoding, data = registry.dumps(BODY, name)
    assert (content_type, encoding) == (serializer.content_type, serializer.content_encoding)
    assert type(data) is bytes
    assert encoding == "binary" or data.decode(encoding)


def test_data_is_refused_unless_its_type_is_accepted(name: str) -> None:
    content_type, encoding, data = registry.dumps(BODY, name)
    others = registry.accept_set([other for other in SERIALIZERS if other != name])
    with pytest.raises(ContentDisallowed, match="accept_content"):
        registry.loads(data, content_type, encoding, others)


def test_an_object_that_cannot_be_carried_raises_an_encode_error(name: str) -> None:
    with pytest.raises(EncodeError, match=name):
        registry.dumps([lambda: 0], name)


def test_endless_depth_raises_an_encode_error(name: str) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError, match=name):
        registry.dumps(deep, name)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60))
def test_random_data_raises_nothing_but_a_decode_error(name: str, data: bytes) -> None:
    if name == "pickle":
        # A random pickle could name something to call; what pickle accepts is trusted by definition.
        data = b"\x80\x04" + data.replace(b"c", b"").replace(b"\x93", b"").replace(b"i", b"")
    content_type = registry.by_name(name).content_type
    try:
        registry.loads(data, content_type, None, {content_type})
    except DecodeError:
        return


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_truncated_data_raises_a_decode_error_or_is_another_value(name: str, kept: float) -> None:
    content_type, encoding, data = registry.dumps(BODY, name)
    cut = data[: int(len(data) * kept)]
    try:
        assert registry.loads(cut, content_type, encoding, {content_type}) != BODY
    except DecodeError as exc:
        assert name in str(exc)


def test_a_failure_comes_back(name: str) -> None:
    exc = decode_exception(there_and_back(encode_exception(ValueError("bad", 3), name), name))
    assert isinstance(exc, ValueError)
    assert exc.args == ("bad", 3)
