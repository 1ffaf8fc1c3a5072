"""django-celery-beat and django-celery-results, unmodified, in a project on PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.support import PATIENCE, servers, wait_until
from tests.support.servers import unique
from tests.thirdparty.programs import BESIDE, run, running

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).with_name("timetable")
#: Which results the project has: ours, which shares the tables of theirs; the classes of django-celery-results.
OURS = "django-db"
TABLES = "django_celery_results.backends:DatabaseBackend"
CACHE = "django_celery_results.backends.CacheBackend"
MODULES = {
    OURS: "celeriac.backend.kv.backend",
    TABLES: "django_celery_results.backends.database",
    CACHE: "django_celery_results.backends.cache",
}


class Timetable:
    """The project, on a database of its own.

    Args:
        database: URL of the database.
        broker: URL of the broker.
        directory: For logs and the cache.
    """

    def __init__(self, database: str, broker: str, directory: Path) -> None:
        self._database = database
        self._directory = directory
        self._env = {
            "TIMETABLE_DATABASE": database,
            "TIMETABLE_BROKER": broker,
            "TIMETABLE_CACHE": str(directory / "cache"),
            "DJANGO_SETTINGS_MODULE": "timetable.settings",
        }

    def told(self, results: str) -> dict[str, str]:
        """Environment of its programs; each store of results has a queue of its own."""
        queue = f"{self._directory.name}-{results}".replace(":", ".")
        return {**self._env, "TIMETABLE_RESULTS": results, "TIMETABLE_QUEUE": queue}

    def run(self, *words: str, results: str = OURS) -> Any:
        """Run a program of the project; returns what it prints last."""
        lines = run(BESIDE, "python", *words, cwd=PROJECT, env=self.told(results), patience=3 * PATIENCE).splitlines()
        return json.loads(lines[-1]) if words[0] == "drive.py" else lines

    def worker(self, results: str) -> Any:
        """A worker of the project, for a block."""
        log = self._directory / f"worker-{results.rpartition('.')[2]}.log"
        command = ("celery", "-A", "timetable", "worker", "-l", "INFO", "-c", "1", "-n", f"{unique('t')}@here")
        return running(BESIDE, *command, log=log, ready=" ready.", cwd=PROJECT, env=self.told(results))

    def beat(self) -> Any:
        """Beat of the project, for a block."""
        log = self._directory / "beat.log"
        command = ("celery", "-A", "timetable", "beat", "-l", "INFO")
        return running(BESIDE, *command, log=log, ready="beat: Starting...", cwd=PROJECT, env=self.told(OURS))

    def runs(self) -> dict[str, int]:
        """How often each entry has run, as the results in the database say."""
        statement = (
            "SELECT periodic_task_name, count(*) FROM django_celery_results_taskresult"
            " WHERE status = 'SUCCESS' AND periodic_task_name IS NOT NULL GROUP BY 1"
        )
        with psycopg.connect(self._database) as connection:
            return dict(connection.execute(statement).fetchall())


@pytest.fixture(scope="module")
def timetable(redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timetable]:
    with servers.postgresql_database(unique("timetable")) as url:
        made = Timetable(url, redis, tmp_path_factory.mktemp("timetable"))
        made.run("manage.py", "migrate", "-v", "0")
        yield made


def test_entries_of_the_database_run(timetable: Timetable) -> None:
    timetable.run("drive.py", "enter")
    with timetable.worker(OURS), timetable.beat() as beat:
        wanted = {"interval", "once", "clocked", "crontab", "solar", "in the settings"}
        wait_until(lambda: wanted <= timetable.runs().keys(), what="every entry runs", timeout=2 * PATIENCE)
        assert "django_celery_beat.schedulers.DatabaseScheduler" in beat.log
        assert not {"later", "by hand"} & timetable.runs().keys()

        timetable.run("drive.py", "change")
        wait_until(
            lambda: timetable.runs().keys() >= {"later", "by hand"}, what="changes are seen", timeout=2 * PATIENCE
        )
    runs, stand = timetable.runs(), timetable.run("drive.py", "entries")
    assert (runs["once"], runs["clocked"], runs["solar"], runs["by hand"]) == (1, 1, 1, 1)
    assert not stand["once"]["enabled"]
    assert not stand["clocked"]["enabled"]
    assert not stand["interval"]["enabled"]
    assert stand["later"]["enabled"]
    assert stand["in the settings"]["runs"] >= 1


@pytest.mark.parametrize("results", [OURS, TABLES, CACHE])
def test_results_are_kept(timetable: Timetable, results: str) -> None:
    with timetable.worker(results):
        found = timetable.run("drive.py", "results", results=results)
    row, module = found.pop("row", None), found.pop("backend")
    assert module == MODULES[results]
    expected: dict[str, Any] = {
        "value": "called", "raised": "ValueError('on purpose')", "group": ["a", "b"], "restored": True,
        "name": "timetable.note", "forgotten": True, "group is gone": True,
    }  # fmt: skip
    if results == CACHE:
        assert (row, found) == (None, expected)
        return
    if results == TABLES:
        # Its models call it otherwise, so that `AsyncResult.name` is None under Celery too.
        expected["name"] = None
    assert found == {**expected, "failed row": True, "group row": 1}
    assert row == {
        "status": "SUCCESS", "task_name": "timetable.note", "result": "called", "started": True,
        "is_worker_named": True, "called with": True, "traceback": None,
    }  # fmt: skip
