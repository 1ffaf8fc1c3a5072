"""Detaching from the terminal: fork twice, lead a session of its own, and start the program anew.

Starting anew, instead of going on, leaves behind whatever importing the app has opened or begun.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from celeriac.exceptions import ImproperlyConfigured
from celeriac.platform.privileges import drop_privileges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_STANDARD_STREAMS = (0, 1, 2)


def parse_umask(value: str | int | None) -> int | None:
    """A file mode mask: text with a leading 0 is octal, other text decimal.

    Raises:
        ImproperlyConfigured: It is no number.
    """
    if value is None or isinstance(value, int):
        return value
    try:
        return int(value, 8 if value.startswith("0") else 10)
    except ValueError:
        raise ImproperlyConfigured(
            f"--umask is {value!r}: give a number, with a leading 0 for octal, as in 022"
        ) from None


def check_writable(path: str | None) -> None:
    """Fail where the user still sees it, and not in the detached process.

    Raises:
        ImproperlyConfigured: The file cannot be opened for appending.
    """
    if path is None:
        return
    try:
        with open(path, "a"):  # noqa: PTH123 - only opens it
            pass
    except OSError as exc:
        raise ImproperlyConfigured(f"The log file {path} cannot be written: {exc.strerror or exc}") from exc


def detach(
    arguments: Sequence[str],
    *,
    executable: str | None = None,
    logfile: str | None = None,
    user: str | int | None = None,
    group: str | int | None = None,
    umask: int | None = None,
) -> int:
    """Run a Python program detached; returns in the process that called it.

    Args:
        arguments: Arguments of the interpreter.
        executable: The interpreter; None is this one.
        logfile: Checked to be writable by the user that the program runs as.
        user: User to become.
        group: Group to become; None is the user's.
        umask: File mode mask; None keeps it.

    Returns:
        Id of the detached process, which has become the program. With ``C_FAKEFORK`` in the environment it does not
        return: the program replaces this process.

    Raises:
        ImproperlyConfigured: The program cannot be started so.
    """
    command = [executable or sys.executable, *arguments]

    def become_program() -> NoReturn:
        if umask is not None:
            os.umask(umask)
        drop_privileges(user, group)
        check_writable(logfile)
        try:
            os.execv(command[0], command)  # noqa: S606 - the arguments this program itself was given
        except OSError as exc:
            raise ImproperlyConfigured(f"Can't exec {' '.join(command)!r}: {exc.strerror}") from exc

    sys.stdout.flush()
    sys.stderr.flush()
    if os.environ.get("C_FAKEFORK"):
        become_program()
    return _in_grandchild(become_program)


def _in_grandchild(function: Callable[[], NoReturn]) -> int:
    """Call a function that starts a program, in a process without terminal and streams; returns its id.

    The pipe closes when the program starts; before that, it carries the reason why it does not.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            # The grandchild leads no session, so that opening a terminal cannot make it its own.
            if os.fork() == 0:
                os.write(writer, f"{os.getpid()}\n".encode())
                _leave_files(writer)
                function()
        except BaseException as exc:
            os.write(writer, str(exc).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        pid, _, reason = pipe.read().partition("\n")
    if reason:
        raise ImproperlyConfigured(reason)
    return int(pid)


def _leave_files(but: int) -> None:
    """Point the standard streams at nothing, and close all other files but one."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in _STANDARD_STREAMS:
        os.dup2(null, descriptor)
    os.closerange(3, but)
    os.closerange(but + 1, os.sysconf("SC_OPEN_MAX"))
