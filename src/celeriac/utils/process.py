"""Facts about processes, and settings of the running one.  It starts and stops none."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024 if hasattr(os, "sysconf") else 4


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send a signal to this process when its parent dies (Linux; elsewhere nothing happens).

    Without it, a killed worker would leave children running tasks that are about to be delivered again.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _read(path: str) -> bytes:
    """The beginning of a file of the system's, without `pathlib`, which would be a megabyte in each process."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _state(pid: int) -> bytes:
    """The letter of a process's state, as ``ps`` shows it."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split(None, 1)[0]


def rss_kib() -> int:
    """Resident size of this process in KiB; 0 where the system does not say."""
    try:
        return int(_read("/proc/self/statm").split()[1]) * _PAGE_KIB
    except (OSError, IndexError):
        return 0


def release_free_memory() -> None:
    """Give the system back what the heap of this process has free (glibc; elsewhere nothing happens).

    Importing an app leaves about a megabyte free, of which each process forked later would have a copy.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = _state(pid)
    except (OSError, IndexError):
        return os.access(f"/proc/{pid}", os.F_OK) or not os.access("/proc/self", os.F_OK)
    return state not in b"ZX"


def set_process_name(name: str, hostname: str, *, in_logs: str | None = None) -> None:
    """Name the process for logs, and for ``ps`` where setproctitle is installed.

    Args:
        name: Its name.
        hostname: Node name of the worker.
        in_logs: Another name for logs.
    """
    _name_in_logs(in_logs or name)
    if os.environ.get("NOSETPS"):
        return
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"[celeryd: {hostname}:{name}]")


def _name_in_logs(name: str) -> None:
    """Let ``%(processName)s`` be this name.

    `logging` asks `multiprocessing` for it, which would cost each process a megabyte; so only a loaded one is told.
    """
    if (multiprocessing := sys.modules.get("multiprocessing")) is not None:
        multiprocessing.current_process().name = name
    make = logging.getLogRecordFactory()

    def make_named(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.processName = name
        return record

    logging.setLogRecordFactory(make_named)


def is_stopped(pid: int) -> bool:
    """A process was stopped by a signal (SIGSTOP, SIGTSTP); never seen where there is no ``/proc``."""
    try:
        return _state(pid) == b"T"
    except (OSError, IndexError):
        return False
