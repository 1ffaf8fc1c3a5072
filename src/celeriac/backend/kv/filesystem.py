"""Results in files: a file for each key, in a directory that clients and workers share.

A file appears whole or not at all. Processes of one host tell each other of new files by datagrams; on a network file
system, those of other hosts look again after pauses that grow.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, News, Stored
from celeriac.drivers.datagrams import Announcer, Listener, news_directory
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError
from celeriac.utils.per_process import PerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions

_TOPIC: Final = "r"
#: Held while a file is replaced that must be the one that was read. Hidden, as are files not yet whole.
_LOCK: Final = ".celeriac-lock"
_PART: Final = ".celeriac-part-"
#: Bytes of the longest file name.
_LONGEST_NAME: Final = 255
#: Seconds after which a file that is not whole is what a killed process left.
_LEFT_BEHIND: Final = 3600.0


class FilesystemDriver(Driver):
    """Files in a directory.

    Args:
        directory: It must exist.

    Raises:
        ImproperlyConfigured: It does not exist, or cannot be written.
    """

    name = "file"
    expires = False
    longest_pause = 0.5

    def __init__(self, directory: Path) -> None:
        self.url = f"file://{directory}"
        if not directory.is_dir():
            raise ImproperlyConfigured(f"result_backend {self.url}: there is no such directory; make it first")
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise ImproperlyConfigured(f"result_backend {self.url}: this user may not read and write there")
        self._directory = directory
        self._announcer = PerProcess(
            lambda: _SharedAnnouncer(self._news_directory()), lambda announcer: announcer.close()
        )

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        for key in keys:
            if not _is_file_name(key):
                continue
            stored = _read(f"{self._directory}/{key}")
            if stored is not None:
                found[key] = stored
        return found

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        if not _is_file_name(entry.key):
            raise BackendStoreError(
                f"{entry.key!r} is no file name: ids of results in {self.url} hold no '/' and have at most "
                f"{_LONGEST_NAME - 40} bytes"
            )
        target = f"{self._directory}/{entry.key}"
        part = f"{self._directory}/{_PART}{uuid.uuid4().hex}"
        try:
            with open(part, "wb") as file:  # noqa: PTH123 - once for every result
                file.write(entry.data)
            if expecting is ABSENT:
                return _linked(part, target)
            with self._locked():
                if expecting is not ANY:
                    there = _read(target)
                    if there is None or there.version != expecting:
                        return False
                os.replace(part, target)  # noqa: PTH105
            return True
        finally:
            try:
                os.unlink(part)  # noqa: PTH108
            except FileNotFoundError:
                pass

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(f"{self._directory}/{_LOCK}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            if _is_file_name(key):
                (self._directory / key).unlink(missing_ok=True)

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        now, removed = time.time(), 0
        all_lifetimes = {_PART: _LEFT_BEHIND, **lifetimes}
        for entry in os.scandir(self._directory):
            prefix = next((prefix for prefix in all_lifetimes if entry.name.startswith(prefix)), None)
            if prefix is None:
                continue
            try:
                if entry.stat().st_mtime <= now - all_lifetimes[prefix]:
                    os.unlink(entry.path)  # noqa: PTH108
                    removed += prefix != _PART
            except FileNotFoundError:
                continue
        return removed

    def news(self) -> News:
        return Listener(self._news_directory(), _TOPIC)

    def announce(self) -> None:
        announcer = self._announcer.get()
        with announcer.lock:
            announcer.announce(_TOPIC)

    def _news_directory(self) -> Path | None:
        return news_directory(self._directory / "celeriac")

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise OperationalError(f"results in {self.url} cannot be reached: {exc}") from exc

    def close(self) -> None:
        self._announcer.close()


class _SharedAnnouncer(Announcer):
    """One for all threads: whoever uses it holds its lock."""

    def __init__(self, directory: Path | None) -> None:
        super().__init__(directory)
        self.lock = threading.Lock()


def _is_file_name(key: str) -> bool:
    return "/" not in key and "\0" not in key and len(os.fsencode(key)) <= _LONGEST_NAME


def _read(path: str) -> Stored | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - once for every result
            # Its number and time do not tell it from a successor: numbers are used again, and clocks are coarse.
            return Stored(data := file.read(), data)
    except FileNotFoundError:
        return None


def _linked(part: str, target: str) -> bool:
    """Give a file its name unless there is one of that name."""
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    return True


def open_driver(url: str, options: BackendOptions) -> FilesystemDriver:
    """``file:///directory`` or ``file://localhost/directory``."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ImproperlyConfigured(f"result_backend {url!r} names no directory of this host: file:///directory")
    return FilesystemDriver(Path(unquote(parts.path)))
