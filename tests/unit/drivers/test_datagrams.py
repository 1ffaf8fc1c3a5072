"""News between processes of one host."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from contextlib import closing
from pathlib import Path

from celeriac.drivers.datagrams import EVERYTHING, Announcer, Listener, mask_of, news_directory


def announce(directory: Path | None, topic: str, mask: int = EVERYTHING) -> None:
    """Send news once."""
    with closing(Announcer(directory)) as announcer:
        announcer.announce(topic, mask)


def test_news_ends_the_wait_of_listeners_of_its_topic(tmp_path: Path) -> None:
    directory = news_directory(tmp_path / "db")
    listener, other = Listener(directory, "m"), Listener(directory, "r")
    announce(directory, "m")
    assert not listener.wait(5)
    # The other has nothing: its receiver would block.
    assert not other.wait(0)
    assert [path.name[0] for path in sorted(directory.iterdir())] == ["m", "r"] if directory else False
    listener.close()
    other.close()


def test_masks_select_listeners(tmp_path: Path) -> None:
    directory = news_directory(tmp_path / "db")
    mine, foreign = mask_of("mine"), mask_of("foreign")
    assert mine & foreign == 0
    listener = Listener(directory, "m", mine)
    announce(directory, "m", foreign)
    assert _pending(listener) == 0
    announce(directory, "m", mine)
    assert _pending(listener) == 1
    listener.close()


def _pending(listener: Listener) -> int:
    count = 0
    try:
        while True:
            listener._receiver.recv(1)
            count += 1
    except BlockingIOError:
        return count


def test_wake_is_told_from_news_and_survives_a_full_socket(tmp_path: Path) -> None:
    directory = news_directory(tmp_path / "db")
    listener = Listener(directory, "m")
    with closing(Announcer(directory)) as announcer:
        for _ in range(1000):
            announcer.announce("m")
    listener.wake()
    assert listener.wait(5)
    assert not listener.wait(0)
    listener.close()


def test_wake_ends_a_wait_without_a_directory() -> None:
    listener = Listener(None, "m")
    threading.Timer(0.01, listener.wake).start()
    assert listener.wait(10)
    listener.close()


def test_sockets_of_dead_processes_are_removed(tmp_path: Path) -> None:
    directory = news_directory(tmp_path / "db")
    assert directory is not None
    dead = directory / "m-1-00000000-ffffffffffffffff"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abandoned:
        abandoned.bind(str(dead))
    announce(directory, "m")
    assert not dead.exists()


def test_a_closed_listener_leaves_no_socket(tmp_path: Path) -> None:
    directory = news_directory(tmp_path / "db")
    assert directory is not None
    Listener(directory, "m").close()
    assert list(directory.iterdir()) == []


def test_long_paths_fall_back_to_a_short_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    directory = news_directory(deep / "db")
    assert directory is not None
    assert len(os.fsencode(directory)) < 60
    assert directory == news_directory(deep / "db")
    directory.rmdir()


def test_only_the_owner_may_enter_the_directory(tmp_path: Path) -> None:
    directory = news_directory(tmp_path / "db")
    assert directory is not None
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_no_directory_gives_no_news() -> None:
    # A short path, so that the directory would be beside the file.
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as short:
        (Path(short) / ".db-news").write_text("")
        assert news_directory(Path(short) / "db") is None
