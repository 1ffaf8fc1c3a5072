"""Objects by name and the automatic names of tasks; expected values were observed with Celery 5.7.0."""

from __future__ import annotations

import datetime
import os.path
import sys
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils import imports
from celeriac.utils.imports import gen_task_name, import_optional, instantiate, qualname, symbol_by_name

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("os.path:join", os.path.join),
        ("os.path.join", os.path.join),
        ("os", os),
        ("os:", os),
        ("datetime:datetime.now", datetime.datetime.now),
        (dict, dict),
    ],
)
def test_symbol_by_name_finds_every_spelling(name: object, found: object) -> None:
    assert symbol_by_name(name) == found


def test_symbol_by_name_tries_aliases_first() -> None:
    assert symbol_by_name("j", {"j": "os.path:join"}) is os.path.join


def test_symbol_by_name_resolves_relative_modules() -> None:
    assert symbol_by_name(".path:join", package="os") is os.path.join


@pytest.mark.parametrize(
    ("name", "error"), [("nope:x", ImportError), ("os:nope", AttributeError), ("dict", ImportError)]
)
def test_a_missing_object_raises_unless_there_is_a_default(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        symbol_by_name(name)
    assert symbol_by_name(name, default=None) is None


def test_an_error_inside_the_imported_module_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module_of_test.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        symbol_by_name("broken_module_of_test:x", default=1)


def test_instantiate_calls_the_named_class() -> None:
    assert instantiate("decimal:Decimal", "1.5") == instantiate("decimal.Decimal", "1.5")


@pytest.mark.parametrize(
    ("obj", "name"),
    [(dict, "builtins.dict"), (5, "builtins.int"), ("x", "builtins.str"), (datetime.date, "datetime.date")],
)
def test_qualname_of_an_object_is_that_of_its_class(obj: object, name: str) -> None:
    assert qualname(obj) == name


def test_import_from_cwd_finds_modules_beside_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_beside_the_caller.py").write_text("x = 1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    before = list(sys.path)
    assert imports.import_from_cwd("module_beside_the_caller").x == 1
    assert sys.path == before
    monkeypatch.delitem(sys.modules, "module_beside_the_caller")


def test_a_missing_optional_package_names_the_extra() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"the frobnicator needs.*'nope_nope'.*celeriac\[frob\]"):
        import_optional("nope_nope", extra="frob", purpose="the frobnicator")


@pytest.mark.parametrize(
    ("main", "module", "name"),
    [
        ("proj", "__main__", "proj.f"),
        ("proj", "mod.tasks", "mod.tasks.f"),
        ("proj", None, "proj.f"),
        ("proj", "", "proj.f"),
        (None, "__main__", "__main__.f"),
        (None, "mod.tasks", "mod.tasks.f"),
        (None, None, "__main__.f"),
    ],
)
def test_task_names_follow_the_module_and_the_app(main: str | None, module: str | None, name: str) -> None:
    assert gen_task_name(main, "f", module) == name


def test_the_main_file_of_a_spawned_child_counts_as_main(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MP_MAIN_FILE", __file__)
    assert gen_task_name("proj", "f", __name__) == "__main__.f"
