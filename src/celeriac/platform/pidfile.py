"""Pid files: one process at a time.  Where the file is, is said by an option; see ``celeriac worker --help``."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celeriac.exceptions import CeleryError, ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger("celeriac.platform")

_MODE = 0o644


class PidfileHeld(CeleryError):
    """A living process has the pid file.

    Args:
        path: The file.
        pid: The process.
    """

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(path, pid)
        self.path = path
        self.pid = pid

    def __str__(self) -> str:
        return f"Pidfile ({self.path}) already exists.\nSeems we're already running? (pid: {self.pid})"


@contextmanager
def pidfile(path: str | None) -> Iterator[None]:
    """Hold a pid file while the block runs.

    Args:
        path: The file; None holds nothing.

    Raises:
        PidfileHeld: A living process has it.
        ImproperlyConfigured: It cannot be written.
    """
    if path is None:
        yield
        return
    from pathlib import Path

    file = Path(path)
    acquire(file)
    owner = os.getpid()
    try:
        yield
    finally:
        # A child made by fork that leaves through here must not remove its parent's file.
        if os.getpid() == owner:
            release(file)


def acquire(path: Path) -> None:
    """Create a pid file for this process, in place of one that a dead process has left.

    Raises:
        PidfileHeld: A living process has it.
        ImproperlyConfigured: It cannot be written.
    """
    try:
        if not _create(path):
            _remove_stale(path)
            if not _create(path):
                raise PidfileHeld(path, read_pid(path) or 0)
    except OSError as exc:
        raise ImproperlyConfigured(f"The pid file {path} cannot be written: {exc.strerror or exc}") from exc


def release(path: Path) -> None:
    """Remove the pid file of this process; one that belongs to another stays."""
    if read_pid(path) == os.getpid():
        path.unlink(missing_ok=True)


def read_pid(path: Path) -> int | None:
    """The process a pid file names; None when there is no such file, or no number and newline in it."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.endswith("\n") and text.strip().isdigit() else None


def _create(path: Path) -> bool:
    """Create and fill the file; False when it exists.  Exactly one of several processes succeeds."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{os.getpid()}\n")
        file.flush()
        os.fsync(descriptor)
    return True


def _remove_stale(path: Path) -> None:
    pid = read_pid(path)
    if pid is None:
        logger.warning("Broken pidfile found - Removing it.")
    elif pid == os.getpid() or not _alive(pid):
        logger.warning("Stale pidfile exists - Removing it.")
    else:
        raise PidfileHeld(path, pid)
    path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    """Whether a process of ours has this id; after a reboot the id may be another user's."""
    try:
        os.kill(pid, 0)
    except OSError as exc:
        return exc.errno not in (errno.ESRCH, errno.EPERM)
    return True
