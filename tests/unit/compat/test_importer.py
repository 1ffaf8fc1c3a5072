from __future__ import annotations

import importlib
import importlib.util
import pickle
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.compat import importer, install
from celeriac.exceptions import ImproperlyConfigured, WorkerLostError
from tests.support import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

APP = "from celery import Celery\napp = Celery('made', set_as_current=False)\n"


def run(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    env = {"PATH": "/usr/bin:/bin", **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_the_door_celery_is_not_ours() -> None:
    assert "celery" not in sys.modules
    assert not importer.is_installed()
    assert importer._finder.find_spec("json") is None


def test_opening_it_again_changes_nothing(door: None) -> None:
    before = list(sys.meta_path)
    celery = importlib.import_module("celery")
    install()
    assert sys.meta_path == before
    assert importlib.import_module("celery") is celery


def test_a_celery_that_was_imported_before_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ModuleType("celery")
    original.__version__ = "5.6.0"  # type: ignore[attr-defined]
    original.__file__ = "/somewhere/celery/__init__.py"
    monkeypatch.setitem(sys.modules, "celery", original)

    with pytest.raises(ImproperlyConfigured, match=r"celery 5\.6\.0 was imported already, from /somewhere"):
        install()
    assert not importer.is_installed()
    importer.open_for_project("proj")
    assert not importer.is_installed()


def test_star_takes_the_public_names(door: None) -> None:
    taken: dict[str, Any] = {}
    exec("from celery.states import *", taken)  # noqa: S102 - what users write
    assert taken["SUCCESS"] == "SUCCESS"


def test_submodules_are_attributes_of_their_package(door: None) -> None:
    celery: Any = importlib.import_module("celery")
    assert celery.utils.log.get_task_logger("here").name == "here"
    assert celery.app.task.Task.__name__ == "Task"


def test_a_function_is_not_hidden_by_the_module_of_its_name(door: None) -> None:
    importlib.import_module("celery.utils.uuid")
    utils: Any = importlib.import_module("celery.utils")
    assert len(utils.uuid()) == 36


def test_modules_can_be_looked_for(door: None) -> None:
    spec = importlib.util.find_spec("celery.result")
    assert spec is not None
    assert spec.origin == "celeriac.compat"


def test_apps_have_celerys_defaults_once_it_is_open(door: None) -> None:
    made = Celery("made", set_as_current=False)
    assert made.conf.task_acks_late is False
    assert made.conf.broker_url == "amqp://"
    assert made.backend.url == "disabled://"
    assert Celery("ours", set_as_current=False, celery_defaults=False).conf.task_acks_late is True


def test_apps_made_before_keep_theirs() -> None:
    made = Celery("made", set_as_current=False)
    install()
    try:
        assert made.conf.task_acks_late is True
    finally:
        importer.uninstall()
    assert Celery("after", set_as_current=False).conf.task_acks_late is True


@pytest.mark.parametrize(("directory", "acks_late"), [("here", False), ("site-packages", True)])
def test_for_a_project_its_own_code_decides_about_defaults(tmp_path: Path, directory: str, acks_late: bool) -> None:
    place = tmp_path / directory
    place.mkdir()
    (place / "library.py").write_text(APP)
    (place / "proj.py").write_text(APP)
    open_it = "from celeriac.compat.importer import open_for_project as o; o('proj:app')\n"
    show = "print(app.conf.task_acks_late)"

    library = run(f"{open_it}from library import app\n{show}", PYTHONPATH=str(place))
    project = run(f"{open_it}from proj import app\n{show}", PYTHONPATH=str(place))

    assert library.strip() == str(acks_late)
    assert project.strip() == "False"


def test_a_project_that_only_looks_at_celery_keeps_our_defaults() -> None:
    code = "from celeriac.compat.importer import open_for_project as o; o('proj')\n"
    code += "import celery, celery.signals, celeriac\nprint(celeriac.Celery('x').conf.task_acks_late)"
    assert run(code).strip() == "True"


def test_importing_celeriac_imports_no_door() -> None:
    assert run("import celeriac, sys; print([n for n in sys.modules if 'compat' in n])").strip() == "[]"


def test_python_runs_it_as_a_program() -> None:
    code = "import celeriac.compat, runpy, sys; celeriac.compat.install(); sys.argv = ['celery', '--version']\n"
    assert run(f"{code}runpy.run_module('celery', run_name='__main__')").startswith("celeriac ")


def test_pickles_that_name_modules_of_celery_are_read(door: None) -> None:
    app = Celery("pickled")
    task = app.task(name="pickled.add", shared=False)(lambda: None)
    named = {
        b"ccelery.states\nstate\n(VSUCCESS\ntR.": "SUCCESS",
        b"ccelery.app.registry\n_unpickle_task_v2\n(Vpickled.add\nNtR.": app.tasks["pickled.add"],
    }
    assert {data: pickle.loads(data) for data in named} == named
    assert task.name == "pickled.add"
    lost = pickle.loads(b"cbilliard.exceptions\nWorkerLostError\n(Vgone\ntR.")
    assert type(lost) is WorkerLostError and lost.args == ("gone",)
