from __future__ import annotations

import importlib
from typing import Any

import pytest

import celeriac
from celeriac.compat.names import ROOTS, explain_module, public, row_of, table

ROWS = [(name, row) for root in ROOTS for name, row in table(root).items()]
SERVED = [name for name, row in ROWS if row.instead is None]


@pytest.mark.parametrize("name", SERVED)
def test_every_name_of_a_module_is_there(door: None, name: str) -> None:
    module: Any = importlib.import_module(name)
    if name.endswith("__main__"):
        return
    row = row_of(name)
    assert row is not None
    assert [each for each in (*row.names, *public(row)) if not hasattr(module, each)] == []
    assert set(public(row)) <= set(dir(module))


@pytest.mark.parametrize("name", [name for name, row in ROWS if row.instead is not None])
def test_a_module_that_is_not_there_says_what_there_is(door: None, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"Celeriac has no {name}: .+") as caught:
        importlib.import_module(name)
    assert caught.value.name == name


@pytest.mark.parametrize(("name", "missing"), [(name, each) for name, row in ROWS for each in row.missing])
def test_a_name_that_is_not_there_says_what_there_is(door: None, name: str, missing: str) -> None:
    module = importlib.import_module(name)
    with pytest.raises(AttributeError, match=f"Celeriac has no {name}.{missing}: .+"):
        getattr(module, missing)
    with pytest.raises(ImportError):
        exec(f"from {name} import {missing}")  # noqa: S102 - what users write


def test_no_name_is_said_to_be_there_and_to_be_missing() -> None:
    assert [(name, each) for name, row in ROWS for each in row.missing if each in row.names] == []


def test_every_module_has_its_package() -> None:
    assert [name for name in SERVED if "." in name and name.rpartition(".")[0] not in SERVED] == []


def test_what_is_unknown_names_itself(door: None) -> None:
    celery: Any = importlib.import_module("celery")
    with pytest.raises(ModuleNotFoundError, match=r"'celery\.app\.nothing' in Celeriac.*; celery\.app is there"):
        importlib.import_module("celery.app.nothing")
    with pytest.raises(AttributeError, match=r"'celery' has no attribute 'nothing' in Celeriac"):
        _ = celery.nothing
    with pytest.raises(AttributeError, match=r"is in celeriac\.result"):
        _ = importlib.import_module("celery.result").nothing
    assert "celery.app.nothing" in explain_module("celery.app.nothing")


def test_names_are_the_very_objects(door: None) -> None:
    celery: Any = importlib.import_module("celery")
    result: Any = importlib.import_module("celery.result")
    canvas: Any = importlib.import_module("celery.canvas")
    exceptions: Any = importlib.import_module("celery.exceptions")
    from celeriac.exceptions import Retry
    from celeriac.result import AsyncResult

    assert celery.Celery is celeriac.Celery
    assert celery.shared_task is celeriac.shared_task
    assert result.AsyncResult is AsyncResult
    assert canvas.chain is celeriac.chain is celery.chain
    assert exceptions.Retry is Retry


def test_it_says_which_release_of_celery_it_stands_for(door: None) -> None:
    celery: Any = importlib.import_module("celery")

    assert celery.__version__ == "5.7.0"
    assert celery.VERSION == celery.version_info == (5, 7, 0, "", "")
    assert celery.VERSION.major == 5
    assert celery.VERSION_BANNER.startswith("5.7.0 (")
