"""What a worker says about settings before it begins."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Celery
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.checks import check_settings

ENTRY = {"task": "proj.add", "schedule": timedelta(0)}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"task_routes": {"proj.add": 5}}, "task_routes has the route 5 for 'proj.add'"),
        ({"beat_schedule": [ENTRY]}, "beat_schedule has to be a dict"),
        ({"beat_schedule": {"often": "5"}}, "The entry 'often' of beat_schedule has to be a dict, got '5'"),
        ({"beat_schedule": {"often": {"task": "proj.add"}}}, "The entry 'often' of beat_schedule has no schedule"),
        ({"beat_schedule": {"often": {"schedule": 5}}}, "The entry 'often' of beat_schedule has no task"),
    ],
)
def test_settings_of_wrong_types_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape(named)):
        check_settings(Celery("wrong", broker="memory://", backend="disabled://", config_source=settings))


def test_settings_of_right_types_are_silent() -> None:
    settings = {"task_routes": [("proj.*", "queue")], "beat_schedule": {"often": ENTRY}}
    check_settings(Celery("right", broker="memory://", backend="disabled://", config_source=settings))
    check_settings(Celery("none", broker="memory://", backend="disabled://"))
