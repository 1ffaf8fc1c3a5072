"""Revoked tasks do not run, whoever was up when they were revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac.exceptions import TaskRevokedError
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.worker import Workshop


def test_what_is_revoked_while_no_worker_is_up_does_not_run(make_workshop: Callable[..., Workshop]) -> None:
    shop = make_workshop(record_signals=True)
    waiting: list[Any] = [shop.task("work").delay() for _ in range(50)]
    delayed = shop.task("work").apply_async(countdown=2)
    stamped = shop.task("work").apply_async(stamped_headers=["owner"], owner="me")
    kept = shop.task("work").delay()
    shop.app.control.revoke([result.id for result in waiting])
    delayed.revoke()
    stamped.revoke_by_stamped_headers({"owner": "me"})
    shop.start()
    for result in (*waiting, delayed, stamped):
        with pytest.raises(TaskRevokedError, match="revoked"):
            result.get(timeout=PATIENCE)
    assert kept.get(timeout=PATIENCE) == kept.id
    assert shop.ledger.count("start") == 1
    assert shop.ledger.count("signal task_revoked") == len(waiting) + 2
    assert shop.depth() == 0


def test_what_one_worker_was_told_the_next_one_knows(make_workshop: Callable[..., Workshop]) -> None:
    shop = make_workshop()
    first = shop.start()
    delayed = shop.task("work").apply_async(countdown=2)
    # As a client of Celery does it: only the workers that are up hear of it.
    control = shop.app.control
    replies = control.broadcast("revoke", {"task_id": delayed.id}, reply=True, timeout=PATIENCE, limit=1)
    assert replies == [{"w0@test": {"ok": f"tasks {{{delayed.id!r}}} flagged as revoked"}}]
    assert first.stop() == 0
    shop.start()
    with pytest.raises(TaskRevokedError, match="revoked"):
        delayed.get(timeout=PATIENCE)
    assert shop.ledger.count("start") == 0


def test_a_state_file_keeps_what_only_this_worker_was_told(make_workshop: Callable[..., Workshop]) -> None:
    shop = make_workshop()
    path = shop.directory / "state"
    first = shop.start(statedb=str(path))
    control = shop.app.control
    control.revoke("only-here", destination=["w0@test"], reply=True, timeout=PATIENCE)
    assert first.stop() == 0
    shop.start(statedb=str(path))
    assert "only-here" in control.inspect("w1@test", timeout=PATIENCE).revoked()


def test_a_worker_that_mingles_learns_what_others_were_told(make_workshop: Callable[..., Workshop]) -> None:
    """By naming its node: so that the broker keeps nothing of it."""
    shop = make_workshop()
    shop.start(hostname="first@test")
    shop.app.control.revoke("some-id", destination=["first@test"], reply=True, timeout=PATIENCE)
    silent = shop.start(hostname="silent@test")
    assert "mingle" not in silent.log
    # Answers are waited for one second, which on a busy machine may be too short for one of them.
    for number in range(20):
        name = f"mingling{number}@test"
        worker = shop.start(hostname=name, mingle=True)
        if "mingle: sync with 2 nodes" in worker.log:
            break
        assert worker.stop() == 0
    inspect = shop.app.control.inspect(["silent@test", name], timeout=PATIENCE)
    assert inspect.revoked() == {"silent@test": [], name: ["some-id"]}
