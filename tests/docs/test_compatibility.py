"""The page of Celery's names says what is so."""

from __future__ import annotations

from scripts.compatibility import PAGE, modules, page


def test_the_page_is_the_one_that_the_table_makes() -> None:
    assert PAGE.read_text() == page(), "run: python -m scripts.compatibility"


def test_every_name_of_the_modules_that_most_projects_use_is_there() -> None:
    used = {
        "celery", "celery.canvas", "celery.exceptions", "celery.result", "celery.schedules", "celery.signals",
        "celery.states", "celery.bootsteps", "celery.app.task", "celery.app.control", "celery.utils", "celery.local",
        "celery.contrib.abortable", "celery.contrib.pytest", "celery.utils.functional",
    }  # fmt: skip
    found = {module.name: module for module in modules()}
    assert {name: found[name].missing for name in used if found[name].missing or not found[name].there} == {}
