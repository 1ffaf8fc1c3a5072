"""`make_poll` where `select` has no poll, as eventlet leaves it."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import pytest

from celeriac.utils.polling import make_poll

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["poll", "no poll"])
def pipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    if request.param == "no poll":
        monkeypatch.delattr(select, "poll")
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_what_can_be_read_or_written_is_found(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    poll = make_poll()
    poll.register(reader, select.POLLIN)
    assert poll.poll(0) == []
    os.write(writer, b"x")
    assert poll.poll(1000.0) == [(reader, select.POLLIN)]
    poll.register(writer, select.POLLOUT)
    assert sorted(poll.poll(0)) == sorted([(reader, select.POLLIN), (writer, select.POLLOUT)])
