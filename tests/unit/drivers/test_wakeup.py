"""Waits that another thread ends."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from celeriac.drivers.datagrams import Listener
from celeriac.drivers.wakeup import WakePipe
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

#: What can be woken, for tests of what they have in common.
each_kind = pytest.mark.parametrize("make", [WakePipe, partial(Listener, None, "m")], ids=["pipe", "listener"])


@each_kind
def test_wake_ends_one_wait(make: Callable[[], WakePipe | Listener]) -> None:
    with closing(make()) as waiting:
        waiting.wake()
        waiting.wake()
        assert waiting.wait(PATIENCE)
        assert not waiting.wait(0)


class Intrusion:
    """A flag for `wake` on which another thread calls `wake` right after the first look."""

    def __get__(self, waiting: WakePipe | Listener, owner: type) -> bool:
        seen: bool = waiting.__dict__["flag"]
        if not waiting.__dict__.setdefault("intruded", False):
            waiting.__dict__["intruded"] = True
            waiting.wake()
        return seen

    def __set__(self, waiting: WakePipe | Listener, value: bool) -> None:
        waiting.__dict__["flag"] = value


class IntrudedPipe(WakePipe):
    _woken = Intrusion()


class IntrudedListener(Listener):
    _woken = Intrusion()


@pytest.mark.parametrize("make", [IntrudedPipe, partial(IntrudedListener, None, "m")], ids=["pipe", "listener"])
def test_wake_right_after_the_look_ends_the_next_wait(make: Callable[[], WakePipe | Listener]) -> None:
    with closing(make()) as waiting:
        assert not waiting.wait(0)
        assert waiting.wait(PATIENCE)
