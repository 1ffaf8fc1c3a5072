"""Frames survive any split of the stream."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.pool.frames import FrameParser, FrameSocket, encode_frame

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(values, max_size=6), st.data())
def test_frames_are_found_however_the_stream_is_split(sent: list[object], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(value) for value in sent)
    parser, received, start = FrameParser(), [], 0
    while start < len(stream):
        size = data.draw(st.integers(1, len(stream) - start))
        received += parser.feed(stream[start : start + size])
        start += size
    assert received == sent


def test_values_that_marshal_does_not_know_are_carried_too() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert FrameParser().feed(encode_frame({"when": moment})) == [{"when": moment}]


def test_the_end_of_the_socket_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    frames = FrameSocket(theirs)
    ours.sendall(encode_frame(1))
    ours.close()
    assert frames.receive_many() == [1]
    with pytest.raises(EOFError):
        frames.receive_many()
    theirs.close()
