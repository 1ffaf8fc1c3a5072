"""A setting that cannot be honoured is named, not ignored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celeriac.config import OPTIONS, Settings
from celeriac.worker.unsupported import REPLACED, WITHOUT_EFFECT, warn_of_unsupported

if TYPE_CHECKING:
    import pytest


def test_every_name_is_a_setting() -> None:
    assert set(WITHOUT_EFFECT) | set(REPLACED) <= set(OPTIONS)


def test_a_setting_that_is_set_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "celeriac.worker"):
        assert warn_of_unsupported(Settings({"worker_timer": "x"})) == ["worker_timer"]
    assert "worker_timer='x' is not honoured: the worker's loop keeps the time" in caplog.text


def test_defaults_are_not_warned_of() -> None:
    assert warn_of_unsupported(Settings()) == []
