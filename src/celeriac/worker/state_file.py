"""The state file of a worker (``--statedb``): what is revoked, and the logical clock, from one run to the next.

What clients revoke is in the broker too; the file also has what only this worker was told.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.utils.clock import LamportClock
    from celeriac.worker.revoked import RevokedTasks

logger = logging.getLogger("celeriac.worker")

#: What the file says it is, and its version.
_KIND, _VERSION = "celeriac worker state", 1


class StateFile:
    """One file, read when the worker starts and written when it ends.

    Args:
        path: Where it is.
        revoked: What is revoked.
        clock: The logical clock.
    """

    def __init__(self, path: str, revoked: RevokedTasks, clock: LamportClock) -> None:
        self._path = Path(path)
        self._revoked = revoked
        self._clock = clock

    def load(self) -> None:
        """Take in what an earlier run left.

        Raises:
            ImproperlyConfigured: The file is another program's, or cannot be written.
        """
        try:
            self._take_in(self._path.read_bytes())
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise self._unusable(f"cannot be read: {exc.strerror}") from exc
        self._write()

    def _take_in(self, data: bytes) -> None:
        try:
            state = json.loads(data)
            kind, version = state["kind"], state["version"]
        except (ValueError, KeyError, TypeError):
            raise self._unusable("was not written by Celeriac; a state file of Celery's cannot be read") from None
        if kind != _KIND or version != _VERSION:
            raise self._unusable(f"says that it is {kind!r} of version {version!r}")
        self._clock.adjust(int(state["clock"]))
        now = time.time()
        for task_id, until in state["revoked"].items():
            if until > now:
                self._revoked.add_ids([task_id], until)
        for name, value, until in state["stamps"]:
            if until > now:
                self._revoked.add_stamps([(name, value)], until)

    def save(self) -> None:
        """Write what the next run is to know; a failure is logged."""
        try:
            self._write()
        except ImproperlyConfigured as exc:
            logger.error("What was revoked is not kept: %s", exc)

    def _write(self) -> None:
        state: dict[str, Any] = {
            "kind": _KIND,
            "version": _VERSION,
            "clock": self._clock.value,
            "revoked": self._revoked.ids,
            "stamps": [[name, value, until] for (name, value), until in self._revoked.stamps.items()],
        }
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            beside.write_text(json.dumps(state))
            beside.replace(self._path)
        except OSError as exc:
            raise self._unusable(f"cannot be written: {exc.strerror}") from exc

    def _unusable(self, why: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"the state file {str(self._path)!r} {why}; name another one with --statedb (worker_state_db)"
        )
