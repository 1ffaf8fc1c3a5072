"""``app.log``."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, signals
from celeriac.app.log import Logging
from celeriac.contrib.testing.worker import _logging_kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An app that may configure what it likes."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    with _logging_kept(), Celery("logging", set_as_current=False) as app:
        yield app


def test_logging_is_configured_once(app: Celery, tmp_path: Path) -> None:
    log = app.log
    assert log.setup("INFO", str(tmp_path / "log")) is False
    assert log.setup("DEBUG", str(tmp_path / "other")) is False
    log.get_default_logger().info("hello")
    logging.getLogger("celeriac.task").info("from a task")
    text = (tmp_path / "log").read_text()
    assert "hello" in text
    assert "from a task" in text
    assert logging.getLogger().level == logging.INFO
    assert not (tmp_path / "other").exists()


def test_formats_can_be_given(app: Celery, tmp_path: Path) -> None:
    app.log.setup_logging_subsystem("INFO", str(tmp_path / "log"), format="<%(message)s>")
    logger = app.log.setup_task_loggers("INFO", str(tmp_path / "tasks"), format="[%(message)s]", propagate=True)
    logger.info("task")
    assert (tmp_path / "log").read_text() == "<task>\n"
    assert (tmp_path / "tasks").read_text() == "[task]\n"


def test_who_configures_logging_is_respected(app: Celery) -> None:
    def configure(**_: Any) -> None:
        return None

    signals.setup_logging.connect(configure)
    before = list(logging.getLogger().handlers), sys.stdout
    assert app.log.setup("INFO", redirect_stdouts=True) is True
    assert (logging.getLogger().handlers, sys.stdout) == before
    signals.setup_logging.disconnect(configure)


def test_what_is_printed_is_logged(app: Celery, tmp_path: Path) -> None:
    logger = logging.getLogger("tests.printed")
    app.log.setup_handlers(logger, str(tmp_path / "log"), "%(levelname)s %(message)s", colorize=False)
    app.log.redirect_stdouts_to_logger(logger, "ERROR", stderr=False)
    sys.stdout.write("to the log\n")
    assert (tmp_path / "log").read_text() == "ERROR to the log\n"
    logger.handlers[0].close()
    logger.handlers.clear()


def test_a_worker_uses_a_class_of_its_own(tmp_path: Path) -> None:
    seen: list[Any] = []

    class OwnLogging(Logging):
        def setup(self, *args: Any, **options: Any) -> bool:
            seen.append(options)
            return True

    with Celery("logging", log=OwnLogging, set_as_current=False) as app:
        assert isinstance(app.log, OwnLogging)
        worker = app.Worker(hostname="w@h", loglevel="INFO", logfile=str(tmp_path / "log"))
        worker.set_up_logging()
        assert seen == [{"loglevel": "INFO", "logfile": str(tmp_path / "log"), "colorize": None, "hostname": "w@h"}]
