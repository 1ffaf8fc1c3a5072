"""What a worker says before it starts interpreters, and what it tells them."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import types

import pytest

from celeriac import Celery
from celeriac.exceptions import ImproperlyConfigured
from celeriac.pool.fresh import check_library
from celeriac.pool.recipe import describe
from celeriac.worker.assembly import Worker, WorkerOptions


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    made = types.ModuleType("a_project")
    monkeypatch.setitem(sys.modules, "a_project", made)
    return made


@pytest.mark.parametrize("name", ["gevent", "eventlet"])
def test_library_that_is_missing_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("project", broker="memory://", set_as_current=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImproperlyConfigured, match=rf"celeriac\[{name}\]"):
        Worker(app, WorkerOptions(pool=name))


def test_library_that_is_there_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gevent", raising=False)
    check_library("gevent")
    assert "gevent" not in sys.modules


def test_application_is_found_in_its_module_and_gets_its_changes(module: types.ModuleType) -> None:
    app = Celery("a_project", broker="memory://", set_as_current=False)
    module.__dict__["application"] = app
    app.conf.worker_concurrency = 7
    app.conf.task_routes = (lambda *args, **kwargs: None,)
    recipe = describe(app, "the test", {})
    assert (recipe.module, recipe.attribute) == ("a_project", "application")
    assert pickle.loads(recipe.changes["worker_concurrency"]) == 7
    assert "task_routes" not in recipe.changes


def test_application_that_no_module_holds_is_refused() -> None:
    app = Celery("nowhere", broker="memory://", set_as_current=False)
    with pytest.raises(
        ImproperlyConfigured, match=r"the test starts processes that import the application, but .*nowhere"
    ):
        describe(app, "the test", {})
