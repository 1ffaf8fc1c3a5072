from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from celeriac import Celery
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.assembly import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("proj", broker="memory://launcher", backend="disabled://", set_as_current=False) as app:
        yield app


def test_worker_takes_the_options_of_the_command_line(app: Celery) -> None:
    worker = app.Worker(pool="solo", loglevel="INFO", queues="a, b", hostname="w@h", without_gossip=True)
    assert isinstance(worker, Worker)
    assert worker.app is app
    assert (worker.pool_name, worker.hostname, worker.options.queues) == ("solo", "w@h", ["a", "b"])


def test_work_controller_is_another_name_for_it(app: Celery) -> None:
    assert app.WorkController(pool="solo", include=["a"]).options.include == ["a"]


def test_beat_is_an_option_with_a_file_and_a_class(app: Celery, tmp_path: Path) -> None:
    worker = app.Worker(beat=True, schedule_filename=str(tmp_path / "schedule"))
    service = worker.embedded_beat.service
    assert service.schedule_filename == str(tmp_path / "schedule")
    with pytest.raises(ImproperlyConfigured, match=r"no\.where"):
        app.Worker(beat=True, scheduler="no.where")
    assert app.Worker(beat=False).embedded_beat is None


def test_options_that_the_application_added_go_to_its_steps(app: Celery) -> None:
    app.user_options["worker"].add(click.Option(["--canary"], is_flag=True))
    assert app.Worker(canary=True).step_options()["canary"] is True


def test_an_unknown_option_is_a_type_error(app: Celery) -> None:
    with pytest.raises(TypeError, match="concurency"):
        app.Worker(concurency=3)


def test_disable_prefetch_is_a_setting(app: Celery) -> None:
    app.Worker(disable_prefetch=True)
    assert app.conf.worker_disable_prefetch is True


@pytest.mark.parametrize("name", ["task_events", "events"])
def test_events_of_tasks_are_an_option(app: Celery, name: str) -> None:
    assert app.Worker(**{name: True}).event_options().task_events
    assert not app.Worker().event_options().task_events
    app.conf.worker_send_task_events = True
    assert app.Worker().event_options().task_events
    assert not app.Worker(**{name: False}).event_options().task_events


def test_heartbeats_come_every_ten_seconds_unless_asked_otherwise(app: Celery) -> None:
    assert app.Worker().event_options().heartbeat_interval == 10
    assert app.Worker(heartbeat_interval=3).event_options().heartbeat_interval == 3
    assert app.Worker(without_heartbeat=True).event_options().heartbeat_interval == 0
    app.conf.celery_defaults = True
    assert app.Worker().event_options().heartbeat_interval == 2
