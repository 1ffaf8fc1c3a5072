from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, signals
from celeriac.app.loaders import AppLoader, BaseLoader, Loader, get_loader_cls
from celeriac.compat.backends import KeyValueStoreBackend
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Mapping


class Noting(BaseLoader):
    """Has settings of its own, and writes down what it hears."""

    override_backends = {"shelf": f"{__name__}:Shelf"}  # noqa: RUF012 - as users write it

    def __init__(self, app: Celery, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self.heard: list[Any] = []

    def read_configuration(self, env: str = "") -> Mapping[str, Any]:
        return {"task_default_queue": "of the loader"}

    def on_worker_process_init(self) -> None:
        self.heard.append("process")

    def on_task_init(self, task_id: str, task: Any) -> None:
        self.heard.append((task_id, task.name))

    def on_process_cleanup(self) -> None:
        self.heard.append("cleaned up")


class Shelf(KeyValueStoreBackend):
    """Keeps nothing."""


def test_an_app_has_the_loader_of_its_kind() -> None:
    assert type(Celery(set_as_current=False).loader) is AppLoader
    assert type(Celery(set_as_current=False, loader="default").loader) is Loader
    assert get_loader_cls("app") is AppLoader


def test_a_loader_of_ones_own_gives_the_settings() -> None:
    for loader in (Noting, f"{__name__}:Noting", f"{__name__}.Noting"):
        app = Celery(set_as_current=False, loader=loader)
        assert app.conf.task_default_queue == "of the loader"
        assert repr(app.loader).endswith("Noting>")
    app = Celery(set_as_current=False, loader=Noting, config_source={"task_default_queue": "given"})
    assert app.conf.task_default_queue == "given"


def test_a_loader_of_ones_own_hears_what_happens_to_its_app() -> None:
    app = Celery("heard", set_as_current=False, loader=Noting)
    other = Celery("other", set_as_current=False)
    loader: Any = app.loader

    @app.task(name="mine")
    def mine() -> None: ...

    @other.task(name="theirs")
    def theirs() -> None: ...

    for task, id_ in ((mine, "1"), (theirs, "2")):
        signals.task_prerun.send(sender=task, task_id=id_, task=task, args=(), kwargs={})
        signals.task_postrun.send(sender=task, task_id=id_, task=task, args=(), kwargs={}, retval=None, state="")
    signals.worker_process_init.send(sender=None)
    assert loader.heard == [("1", "mine"), "cleaned up", "process"]


def test_a_loader_may_name_classes_of_result_backends() -> None:
    made: object = Celery(set_as_current=False, loader=Noting, backend="shelf://there").backend
    assert isinstance(made, Shelf)


def test_what_is_no_loader_is_refused() -> None:
    for loader in (f"{__name__}:Shelf", "nothing_of_this_name:Loader", dict):
        with pytest.raises(ImproperlyConfigured, match=r"celeriac\.app\.loaders\.BaseLoader"):
            Celery(loader=loader, set_as_current=False)


def test_a_loader_imports(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_module_of_tasks.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    loader = Celery(set_as_current=False).loader
    assert loader.import_task_module("a_module_of_tasks").VALUE == 3
    assert loader.task_modules == {"a_module_of_tasks"}
    assert loader.import_default_modules() == []
