"""Result stores as third parties write them for Celery: a key-value store of files, and tables."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from celeriac import Celery, states
from celeriac.backend import BackendOptions
from celeriac.compat.backends import BaseDictBackend, KeyValueStoreBackend
from celeriac.result import result_from_tuple


def app_of(options: BackendOptions | None = None) -> Celery:
    """An app whose settings say the same as some options."""
    options = options or BackendOptions()
    return Celery(
        "written", set_as_current=False, result_serializer=options.serializer, result_expires=options.expires,
        result_accept_content=list(options.accept), task_default_queue="unused",
    )  # fmt: skip


class FileStore(KeyValueStoreBackend):
    """Values in files of a directory."""

    supports_autoexpire = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.directory = Path(urlsplit(self.url).path)

    def _path(self, key: bytes) -> Path:
        return self.directory / quote(key.decode(), safe="")

    def get(self, key: bytes) -> Any:
        path = self._path(key)
        try:
            if self.expires and time.time() - path.stat().st_mtime > self.expires:
                return None
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        return data.decode() if self.content_encoding == "utf-8" else data

    def set(self, key: bytes, value: Any) -> None:
        path = self._path(key)
        new = path.with_suffix(f".{time.monotonic_ns()}")
        new.write_bytes(value.encode() if isinstance(value, str) else value)
        new.replace(path)

    def delete(self, key: bytes) -> None:
        self._path(key).unlink(missing_ok=True)

    def put_malformed(self, task_id: str) -> None:
        """Store something that is no result."""
        self.set(self.get_key_for_task(task_id), "{truncated")


class TableStore(BaseDictBackend):
    """Rows of SQLite, which Celery's other base class leaves to its subclass altogether."""

    subpolling_interval = 0.05

    @contextlib.contextmanager
    def _rows(self) -> Any:
        with contextlib.closing(sqlite3.connect(Path(urlsplit(self.url).path) / "results", timeout=30)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (id PRIMARY KEY, meta, at)")
            with connection:
                yield connection

    def _put(self, id_: str, meta: Any) -> None:
        with self._rows() as rows:
            rows.execute("REPLACE INTO kept VALUES (?, ?, ?)", (id_, meta, time.time()))

    def _get(self, id_: str) -> Any:
        with self._rows() as rows:
            found = rows.execute("SELECT meta FROM kept WHERE id = ?", (id_,)).fetchone()
        return None if found is None else found[0]

    def _delete(self, id_: str) -> None:
        with self._rows() as rows:
            rows.execute("DELETE FROM kept WHERE id = ?", (id_,))

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        meta = {
            "status": state, "result": result, "traceback": traceback, "date_done": request.date_done,
            "children": self.current_task_children(request), "group_id": request.group,
            "parent_id": request.parent_id, **request.extra,
        }  # fmt: skip
        self._put(task_id, self.encode(meta))
        return result

    def _get_task_meta_for(self, task_id: str) -> Any:
        meta = self._get(task_id)
        if meta is None:
            return {"status": states.PENDING, "result": None}
        return self.meta_from_decoded(self.decode(meta))

    def _forget(self, task_id: str) -> None:
        self._delete(task_id)

    def _save_group(self, group_id: str, result: Any) -> Any:
        self._put(f"group {group_id}", self.encode(result.as_tuple()))
        return result

    def _restore_group(self, group_id: str) -> Any:
        form = self._get(f"group {group_id}")
        return None if form is None else {"result": result_from_tuple(self.decode(form), self.app)}

    def _delete_group(self, group_id: str) -> None:
        self._delete(f"group {group_id}")

    def cleanup(self) -> None:
        if self.expires:
            with self._rows() as rows:
                rows.execute("DELETE FROM kept WHERE at < ?", (time.time() - self.expires,))

    def put_malformed(self, task_id: str) -> None:
        """Store something that is no result."""
        self._put(task_id, json.dumps("no result"))
