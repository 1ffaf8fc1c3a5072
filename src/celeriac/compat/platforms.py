"""Names of ``celery.platforms``: processes, users, signals and pid files."""

from __future__ import annotations

import platform
import signal as _signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celeriac.platform.pidfile import PidfileHeld as LockFailed
from celeriac.platform.privileges import drop_privileges, parse_gid, parse_uid
from celeriac.utils.process import set_process_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "IS_WINDOWS",
    "SIGMAP",
    "SYSTEM",
    "IS_macOS",
    "LockFailed",
    "ignore_errno",
    "isatty",
    "maybe_drop_privileges",
    "parse_gid",
    "parse_uid",
    "pyimplementation",
    "set_process_title",
    "signal_name",
    "signals",
]

SYSTEM = platform.system()
IS_macOS = SYSTEM == "Darwin"
IS_WINDOWS = SYSTEM == "Windows"
#: Names of signals by number.
SIGMAP = {number.value: number.name for number in _signal.Signals}


def pyimplementation() -> str:
    """The implementation of Python."""
    return platform.python_implementation()


def isatty(fh: Any) -> bool:
    """Whether a file is a terminal."""
    try:
        return bool(fh.isatty())
    except AttributeError:
        return False


def maybe_drop_privileges(uid: Any = None, gid: Any = None) -> None:
    """Become another user, where one is given.

    Args:
        uid: User, by name or number.
        gid: Group, by name or number.
    """
    if uid or gid:
        drop_privileges(uid, gid)


def set_process_title(progname: str, info: str | None = None) -> None:
    """Name the process in listings, where setproctitle is installed."""
    set_process_name(progname, info or " ".join(sys.argv[1:]))


def signal_name(signum: int) -> str:
    """The name of a signal without ``SIG``."""
    return SIGMAP[signum][3:]


@contextmanager
def ignore_errno(*errnos: int | str, types: type[Exception] | tuple[type[Exception], ...] = OSError) -> Iterator[None]:
    """Let errors of the system with some numbers pass.

    Args:
        *errnos: Numbers, or names such as ``ENOENT``.
        types: Classes of exceptions that may pass.
    """
    import errno

    numbers = {getattr(errno, each) if isinstance(each, str) else each for each in errnos}
    try:
        yield
    except types as exc:
        if getattr(exc, "errno", None) not in numbers:
            raise


class Signals:
    """Handlers of signals by name, with or without ``SIG``; unknown names are passed over."""

    ignored = _signal.SIG_IGN
    default = _signal.SIG_DFL

    def supported(self, name: str) -> bool:
        """Whether this system has a signal."""
        try:
            self.signum(name)
        except AttributeError:
            return False
        return True

    def signum(self, name: Any) -> int:
        """The number of a signal.

        Raises:
            AttributeError: There is none.
        """
        if isinstance(name, int):
            return name
        word = name.upper()
        return int(getattr(_signal, word if word.startswith("SIG") else f"SIG{word}"))

    def __getitem__(self, name: Any) -> Any:
        return _signal.getsignal(self.signum(name))

    def __setitem__(self, name: Any, handler: Any) -> None:
        if self.supported(name):
            _signal.signal(self.signum(name), handler)

    def ignore(self, *names: Any) -> None:
        """Ignore signals."""
        self.update(dict.fromkeys(names, self.ignored))

    def reset(self, *names: Any) -> None:
        """Give signals their default handlers."""
        self.update(dict.fromkeys(names, self.default))

    def update(self, _d_: Mapping[str, Any] | None = None, **sigmap: Callable[..., Any] | int) -> None:
        """Set several handlers."""
        for name, handler in {**(_d_ or {}), **sigmap}.items():
            self[name] = handler

    def arm_alarm(self, seconds: float) -> None:
        """Have SIGALRM sent after some seconds."""
        _signal.setitimer(_signal.ITIMER_REAL, seconds)

    def reset_alarm(self) -> None:
        """Call `arm_alarm` off."""
        _signal.alarm(0)


signals = Signals()
