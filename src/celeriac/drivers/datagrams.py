"""News between the processes of one host: datagram sockets in a directory, one for each listener.

It knows topics and bit masks, not what they stand for, and guarantees nothing: a listener looks now and then.

A listener's socket is named ``<topic>-<pid>-<random>-<mask>``; who has news sends one byte to every socket
of the topic whose mask shares a bit with the news. A full socket has news already; one that refuses belongs
to a dead process and is removed.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from pathlib import Path

from celeriac.utils.digests import sha1_hex
from celeriac.utils.polling import make_poll

#: Every bit: news for all, or a listener to all.
EVERYTHING = (1 << 64) - 1

#: Bytes of the longest path a UNIX socket may have on every system (macOS: 104 with the final NUL).
_LONGEST_PATH = 103
_NAME_LENGTH = 48

#: A listing is kept only if the directory had been left alone for this long: file times come in steps of a
#: clock tick, so that a socket made right after the listing may not show.
_SETTLED_NS = 50_000_000

_NEWS = b"n"


def mask_of(*names: str) -> int:
    """One bit of 64 for each name."""
    mask = 0
    for name in names:
        mask |= 1 << (hash_of(name) & 63)
    return mask


def hash_of(text: str) -> int:
    """A number that is the same in every process, which `hash` is not."""
    return int(sha1_hex(text)[:16], 16)


def news_directory(database: Path) -> Path | None:
    """The directory for news about a database file; made if missing.

    It is beside the file, so that every process finds the same one whatever its environment, or under
    ``/tmp`` when that path would be too long for a socket.

    Returns:
        None if it cannot be made, or belongs to someone who is neither this user nor the owner of the
        database's directory: then there is no news, and listeners poll.
    """
    path = database.resolve()
    try:
        owner = path.parent.stat().st_uid
        directory = path.with_name(f".{path.name}-news")
        if len(os.fsencode(directory)) + _NAME_LENGTH > _LONGEST_PATH:
            root = Path(f"/tmp/celeriac-{owner}")  # noqa: S108 - its owner is checked
            if not _made(root, {owner}):
                return None
            directory = root / f"{hash_of(str(path)):016x}"
        return directory if _made(directory, {owner, os.geteuid()}) else None
    except OSError:
        return None


def _made(directory: Path, owners: set[int]) -> bool:
    """Make a private directory; False if it is there already and is someone else's."""
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid in owners and os.access(directory, os.W_OK | os.X_OK)


class Listener:
    """A socket that news arrives on. One thread waits; `wake` may be called from anywhere.

    Args:
        directory: From `news_directory`; None receives no news, only `wake`.
        topic: Letters that name the kind of news.
        mask: Bits of what is of interest.
    """

    def __init__(self, directory: Path | None, topic: str, mask: int = EVERYTHING) -> None:
        self._pid = os.getpid()
        self._path: str | None = None
        self._woken = False
        if directory is None:
            self._receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        else:
            self._bind(f"{directory}/{topic}-{self._pid}-{os.urandom(4).hex()}-{mask:016x}")
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._poll = make_poll()
        self._poll.register(self._receiver, select.POLLIN)

    def _bind(self, path: str) -> None:
        self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._receiver.bind(path)
            self._path = path
            self._sender.connect(path)
        except BaseException:
            self.close()
            raise

    def wait(self, seconds: float) -> bool:
        """Wait for news or for `wake`.

        Args:
            seconds: At most this long.

        Returns:
            Whether it was `wake`.
        """
        self._poll.poll(max(0.0, seconds) * 1000)
        self.drain()
        # Set to False only where it was seen: a `wake` between look and change must not be lost.
        if self._woken:
            self._woken = False
            return True
        return False

    @property
    def woken(self) -> bool:
        """`wake` was called, and no `wait` has returned since."""
        return self._woken

    def drain(self) -> None:
        """Forget news that has arrived; whoever calls this looks for himself right after."""
        try:
            while True:
                self._receiver.recv(1)
        except (BlockingIOError, InterruptedError):
            return

    def wake(self) -> None:
        """Make `wait` return. Safe from any thread and from signal handlers."""
        # The flag comes first: a full socket ends the wait all the same.
        self._woken = True
        try:
            self._sender.send(b"w")
        except OSError:
            return

    def close(self) -> None:
        """Remove the socket."""
        self._receiver.close()
        self._sender.close()
        # A forked child has inherited the descriptors, but the name is its parent's.
        if self._path is not None and self._pid == os.getpid():
            try:
                os.unlink(self._path)  # noqa: PTH108 - Path would be made for this call alone
            except OSError:
                return


class Announcer:
    """Sends news to the listeners of a directory; keeps one socket. Used by one thread at a time.

    Args:
        directory: From `news_directory`; None has no listeners.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._socket: socket.socket | None = None
        self._listed_at = -1
        self._names: list[tuple[str, int, str]] = []

    def announce(self, topic: str, mask: int = EVERYTHING) -> None:
        """Send news to every listener of a topic that shares a bit of the mask."""
        if self._directory is None:
            return
        for its_topic, its_mask, path in self._listeners(self._directory):
            if its_topic == topic and its_mask & mask:
                self._send(path)

    def close(self) -> None:
        """Close the socket; the next `announce` makes another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _listeners(self, directory: Path) -> list[tuple[str, int, str]]:
        try:
            changed_at = directory.stat().st_mtime_ns
            if changed_at != self._listed_at:
                self._names = [_parse(entry) for entry in os.scandir(directory)]
                settled = time.time_ns() - changed_at > _SETTLED_NS
                self._listed_at = changed_at if settled else -1
        except (OSError, ValueError):
            self._listed_at, self._names = -1, []
        return self._names

    def _send(self, path: str) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        try:
            self._socket.sendto(_NEWS, path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
        except OSError:
            # Full (it has news already), or gone since the listing.
            return


def _parse(entry: os.DirEntry[str]) -> tuple[str, int, str]:
    topic, _, _, mask = entry.name.split("-")
    return topic, int(mask, 16), entry.path
