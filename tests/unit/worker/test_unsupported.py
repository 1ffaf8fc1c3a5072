"""A setting that cannot be honoured is named, not ignored."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING

from celeriac import unbuilt
from celeriac.config import OPTIONS, Settings
from celeriac.worker.unsupported import WITHOUT_EFFECT, warn_of_unsupported

if TYPE_CHECKING:
    import pytest


def test_every_name_is_a_setting() -> None:
    assert set(unbuilt.SETTINGS) | set(WITHOUT_EFFECT) <= set(OPTIONS)


def test_a_setting_that_is_set_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "celeriac.worker"):
        assert warn_of_unsupported(Settings({"worker_agent": "x"})) == ["worker_agent"]
    assert "worker_agent='x' is not honoured: agents" in caplog.text


def test_defaults_are_not_warned_of() -> None:
    assert warn_of_unsupported(Settings()) == []


def test_an_attribute_of_a_task_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    task = SimpleNamespace(name="proj.add", plan=SimpleNamespace(retry_on_worker_lost=True))
    with caplog.at_level(logging.WARNING, "celeriac.worker"):
        warn_of_unsupported(Settings(), [task])
    assert "retry_on_worker_lost of task proj.add is not honoured" in caplog.text
