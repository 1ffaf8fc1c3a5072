"""What a lost session left behind is recognised when it is delivered again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.message import Delivery, Message
from celeriac.worker.ledger import Ledger

if TYPE_CHECKING:
    import pytest


def delivery(task_id: str = "a", *, redelivered: bool = False, **headers: Any) -> Delivery:
    message = Message(b"", "application/json", "utf-8", {"id": task_id} | headers, {})
    return Delivery(message, "q", 1, 1, redelivered=redelivered)


def test_an_undone_settlement_is_found_once() -> None:
    ledger = Ledger()
    ledger.remember(delivery(), "reject")
    assert ledger.adopt(delivery("b")) == (None, None)
    assert ledger.adopt(delivery()) == (None, "reject")
    assert not ledger.awaits_redelivery


def test_an_acknowledgement_in_doubt_is_for_a_redelivered_message() -> None:
    ledger = Ledger()
    ledger.remember_in_doubt({"id": "a"})
    assert ledger.adopt(delivery(redelivered=True)) == (None, "ack")


def test_a_message_published_anew_is_not_taken_for_one_in_doubt() -> None:
    ledger = Ledger()
    ledger.remember_in_doubt({"id": "a"})
    assert ledger.adopt(delivery()) == (None, None)


def test_a_retry_is_another_message() -> None:
    ledger = Ledger()
    ledger.remember(delivery(), "ack")
    assert ledger.adopt(delivery(retries=1, redelivered=True)) == (None, None)


def test_a_message_that_had_not_begun_gets_its_old_count_back() -> None:
    ledger = Ledger()
    ledger.remember_unbegun(delivery())
    again = delivery(redelivered=True)
    again.deliveries = 6
    assert ledger.adopt(again) == (None, None)
    assert again.deliveries == 1


def test_what_is_remembered_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    ledger.remember(delivery(), "ack")
    later = time.monotonic() + Ledger.UNSETTLED_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert ledger.adopt(delivery(redelivered=True)) == (None, None)
    assert not ledger.awaits_redelivery
