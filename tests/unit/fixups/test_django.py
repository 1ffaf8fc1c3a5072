"""When an app fits in with Django, and when it leaves that alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, Task
from celeriac.contrib.django.task import DjangoTask
from celeriac.exceptions import FixupWarning
from celeriac.fixups import django as fixup_module

if TYPE_CHECKING:
    from collections.abc import Callable


class OwnTask(Task[..., Any]):
    """A project's own base."""


@pytest.fixture
def make_app(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Celery]:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "nowhere.settings")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda **options: Celery("shop", set_as_current=False, **options)


def test_outside_of_a_project_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    app = Celery("shop", set_as_current=False)
    assert app.fixups == []
    assert not issubclass(app.Task, DjangoTask)
    assert fixup_module.fixup(app) is None


def test_within_a_project_tasks_can_wait_for_the_commit(make_app: Callable[..., Celery]) -> None:
    app = make_app()
    assert issubclass(app.Task, DjangoTask)
    assert isinstance(app.fixups[0], fixup_module.DjangoFixup)


@pytest.mark.parametrize("task_cls", [OwnTask, f"{__name__}:OwnTask"])
def test_a_task_class_that_was_chosen_stays(
    make_app: Callable[..., Celery], task_cls: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[OwnTask.__module__])
    assert not issubclass(make_app(task_cls=task_cls).Task, DjangoTask)


def test_an_app_may_do_without(make_app: Callable[..., Celery]) -> None:
    assert make_app(fixups=[]).fixups == []


def test_django_that_is_not_installed_is_told_of(
    make_app: Callable[..., Celery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixup_module, "find_spec", lambda name: None)
    with pytest.warns(FixupWarning, match="DJANGO_SETTINGS_MODULE is 'nowhere.settings', but Django is not installed"):
        assert make_app().fixups == []
