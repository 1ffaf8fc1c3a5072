"""Results in files: names, half-written files, news between processes."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from celeriac.backend import BackendOptions, ResultRecord, open_backend
from celeriac.backend.kv import watcher
from celeriac.backend.kv.filesystem import FilesystemDriver
from celeriac.exceptions import BackendStoreError, OperationalError
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_an_id_cannot_leave_the_directory(tmp_path: Path) -> None:
    inside = tmp_path / "results"
    inside.mkdir()
    backend = open_backend(f"file://{inside}")
    with pytest.raises(BackendStoreError, match="is no file name"):
        backend.store_many([ResultRecord("/../../outside", "SUCCESS")])
    assert backend.load_many(["/../../outside", "x" * 300]) == {}
    backend.forget_many(["/../../outside"])
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    backend = open_backend(f"file://{tmp_path}", BackendOptions(expires=60.0))
    backend.store_many([ResultRecord("kept", "SUCCESS")])
    left = tmp_path / ".celeriac-part-0123"
    left.write_bytes(b"{")
    other = tmp_path / "not-ours"
    other.write_bytes(b"")
    for path in (left, other):
        os.utime(path, (1, 1))
    assert backend.sweep() == 0
    assert not left.exists()
    assert other.exists()
    assert set(backend.load_many(["kept"])) == {"kept"}
    backend.close()


def test_a_directory_that_vanishes_is_an_error_that_names_it(tmp_path: Path) -> None:
    directory = tmp_path / "results"
    directory.mkdir()
    backend = open_backend(f"file://{directory}")
    directory.rmdir()
    with pytest.raises(OperationalError, match=str(directory)):
        backend.store_many([ResultRecord("t", "SUCCESS")])


def test_a_waiting_client_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The next look would come too late.
    monkeypatch.setattr(watcher, "FIRST_PAUSE", 3600.0)
    monkeypatch.setattr(FilesystemDriver, "longest_pause", 3600.0)
    client, worker = open_backend(f"file://{tmp_path}"), open_backend(f"file://{tmp_path}")
    news = FilesystemDriver(tmp_path)._news_directory()
    assert news is not None
    got: list[ResultRecord] = []
    thread = threading.Thread(target=lambda: got.extend(client.watch(["t"], timeout=PATIENCE)))
    thread.start()
    wait_until(lambda: list(news.iterdir()), what="the client listens")
    worker.store_many([ResultRecord("t", "SUCCESS", 1)])
    thread.join(PATIENCE)
    assert [record.result for record in got] == [1]
    assert list(news.iterdir()) == []
    worker.close()
