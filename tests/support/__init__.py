"""What several test directories share: waiting with a deadline, and servers to talk to."""

from __future__ import annotations

from tests.support.waiting import PATIENCE, SLACK, wait_until

__all__ = ["PATIENCE", "SLACK", "wait_until"]
