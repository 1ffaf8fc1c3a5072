"""Places at which a worker can be made to die, for tests of crash safety.  Not imported unless one is asked for.

``CELERIAC_CRASH_AT=<label>:<nth>`` in the environment has the process that passes the place for the n-th time killed
with SIGKILL.  Passes are counted over all processes that share the file ``CELERIAC_CRASH_COUNT``, so that what is
started in place of the dead one lives; without such a file each process counts its own.

==========  =========  ==========================================================================
label       process    what has been done when it is passed
==========  =========  ==========================================================================
claimed     worker     the broker has handed messages over
leased      worker     they have been judged, none has been sent to a child
submitted   worker     a child has been given some
started     child      the task is about to begin
returned    child      the task has ended
stored      child      its result is stored
reported    worker     the child has said so
acked       worker     the broker has been told
counted     child      the end of a task in a chord is recorded, and nothing was sent
relayed     child      what comes next is held for this worker, which was not told
joined      child      the body of a chord, or its errbacks, are sent, and the store was not told
==========  =========  ==========================================================================
"""

from __future__ import annotations

import functools
import os
import signal
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.execution import calling, chords
from celeriac.execution.relaying import Relay
from celeriac.execution.results import ResultBuffer
from celeriac.pool.local import LocalPool
from celeriac.pool.process import ProcessPool
from celeriac.worker.broker_thread import BrokerThread
from celeriac.worker.coordinator import Coordinator
from celeriac.worker.dispatcher import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

#: Label: the functions it is about, and whether it is passed before or after them.
PLACES: Final[dict[str, tuple[list[tuple[Any, str]], str]]] = {
    "claimed": ([(Coordinator, "on_deliveries")], "before"),
    "leased": ([(Dispatcher, "add")], "before"),
    "submitted": ([(ProcessPool, "submit"), (LocalPool, "submit")], "after"),
    "started": ([(calling, "call_body")], "before"),
    "returned": ([(calling, "call_body")], "after"),
    "stored": ([(ResultBuffer, "_store")], "after"),
    "reported": ([(Coordinator, "on_outcomes")], "before"),
    "acked": ([(BrokerThread, "_carry_out")], "after"),
    "counted": ([(chords, "_add")], "after"),
    "relayed": ([(Relay, "_tell_of")], "before"),
    "joined": ([(chords, "conclude_with"), (chords, "fail_body")], "after"),
}


def install_from_environment() -> None:
    """Install what ``CELERIAC_CRASH_AT`` asks for.

    Raises:
        ImproperlyConfigured: As `install`.
    """
    install(os.environ["CELERIAC_CRASH_AT"], os.environ.get("CELERIAC_CRASH_COUNT"))


def install(setting: str, count_path: str | None) -> None:
    """Make a place deadly. Call before any process is forked.

    Args:
        setting: ``<label>:<nth>``.
        count_path: File in which passes are counted, or None.

    Raises:
        ImproperlyConfigured: There is no such label, or no number.
    """
    label, _, nth = setting.partition(":")
    if label not in PLACES:
        raise ImproperlyConfigured(f"CELERIAC_CRASH_AT is {setting!r}: known labels are {', '.join(PLACES)}")
    if not nth.isdigit():
        raise ImproperlyConfigured(f"CELERIAC_CRASH_AT is {setting!r}: write <label>:<nth>, as in {label}:1")
    functions, when = PLACES[label]
    pass_by = _counter(int(nth), count_path)
    for owner, name in functions:
        setattr(owner, name, _wrap(getattr(owner, name), pass_by, when))


def _wrap(function: Callable[..., Any], pass_by: Callable[[], None], when: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            pass_by()
        value = function(*args, **kwargs)
        if when == "after":
            pass_by()
        return value

    return wrapper


def _counter(nth: int, path: str | None) -> Callable[[], None]:
    """A function that kills this process when it is called for the ``nth`` time."""
    passes = count(1)

    def pass_by() -> None:
        if (next(passes) if path is None else _append(path)) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return pass_by


def _append(path: str) -> int:
    """Add a byte to a file that several processes append to; returns the number of that byte."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, b".")
        return os.lseek(fd, 0, os.SEEK_CUR)
    finally:
        os.close(fd)
