from __future__ import annotations

import pickle
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import celeriac
from celeriac import Celery, Task, current_app, current_task, shared_task, signals
from celeriac.app.made_once import made_once
from celeriac.app.registry import TaskRegistry
from celeriac.backend.base import ResultRecord
from celeriac.exceptions import DuplicateTaskNameWarning, ImproperlyConfigured, NotRegistered
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("proj", broker="memory://", backend="memory://", set_as_current=False) as app:
        yield app


def plain(x: int) -> int:
    return x


# ------------------------------------------------------------------ names and declaration


def test_public_names_are_sorted_and_there() -> None:
    assert celeriac.__all__ == sorted(celeriac.__all__)
    assert all(hasattr(celeriac, name) for name in celeriac.__all__)


def test_names_are_module_and_function(app: Celery) -> None:
    assert app.task(plain).name == f"{__name__}.plain"


def test_main_stands_for_the_main_module(app: Celery) -> None:
    assert app.gen_task_name("add", "__main__") == "proj.add"
    assert Celery(set_as_current=False).gen_task_name("add", "__main__") == "__main__.add"


def test_subclasses_may_name_tasks_otherwise() -> None:
    class Naming(Celery):
        def gen_task_name(self, name: str, module: str) -> str:
            return f"x.{name}"

    assert Naming(set_as_current=False).task(plain).name == "x.plain"


def test_a_declared_task_is_made_at_its_first_use(app: Celery) -> None:
    made: list[str] = []

    class Counting(Task[..., Any]):
        def __init__(self) -> None:
            made.append(self.name)

    task = app.task(base=Counting, name="t")(plain)
    assert made == []
    assert isinstance(task, Task)
    assert made == []
    assert task(3) == 3
    assert made == ["t"]
    assert app.tasks["t"] is task
    assert type(task).__name__ == "plain"
    assert isinstance(task, Counting)


def test_lazy_false_makes_it_at_once(app: Celery) -> None:
    app.task(name="t", lazy=False)(plain)
    assert "t" in app._tasks


def test_a_task_looks_like_its_function(app: Celery) -> None:
    @app.task(name="t")
    def documented(x: int) -> int:
        """The docstring."""
        return x

    assert documented.__name__ == "documented"  # type: ignore[attr-defined]
    assert documented.__doc__ == "The docstring."
    assert documented.__wrapped__(2) == 2  # type: ignore[attr-defined]
    assert repr(documented) == f"<@task: t of proj at {id(app):#x}>"


def test_bind_passes_the_task(app: Celery) -> None:
    @app.task(bind=True)
    def who(self: Any) -> Any:
        return self

    assert who() is app.tasks[who.name]


def test_options_are_attributes(app: Celery) -> None:
    task = app.task(name="t", rate_limit="1/s", custom=5)(plain)
    assert (task.rate_limit, vars(type(task))["custom"]) == ("1/s", 5)


def test_the_first_of_two_declarations_is_kept(app: Celery) -> None:
    def other(x: int) -> int:
        return -x

    first = app.task(name="t")(plain)
    with pytest.warns(DuplicateTaskNameWarning, match="declared twice"):
        second = app.task(name="t")(other)
    assert second is first


def test_the_same_function_twice_is_no_duplicate(app: Celery) -> None:
    assert app.task(name="t")(plain) is app.task(name="t")(plain)


@pytest.mark.parametrize("args", [(1,), (plain, plain)])
def test_the_decorator_takes_one_function(app: Celery, args: Any) -> None:
    with pytest.raises(TypeError, match=r"@app\.task"):
        app.task(*args)


def test_tasks_belong_to_the_app_that_made_them(app: Celery) -> None:
    assert app.task(plain).app is app


def test_task_cls_is_the_base(app: Celery) -> None:
    class Mine(Task[..., Any]):
        mark = 7

    other = Celery(task_cls=Mine, set_as_current=False)
    assert other.task(plain).mark == 7  # type: ignore[attr-defined]
    app.Task = Mine
    assert app.task(plain).mark == 7  # type: ignore[attr-defined]


def test_class_tasks_are_registered_by_class_or_instance(app: Celery) -> None:
    class Double(app.Task):  # type: ignore[misc, name-defined]
        def run(self, x: int) -> int:
            return 2 * x

    task = app.register_task(Double)
    assert task.name == f"{__name__}.Double"
    assert app.tasks[task.name] is task
    assert task(4) == 8
    with pytest.warns(DuplicateTaskNameWarning):
        app.register_task(type("Double2", (app.Task,), {"name": task.name})())
    assert app.tasks[task.name] is not task


def test_autofinalize_off_forbids_early_use() -> None:
    app = Celery(autofinalize=False, set_as_current=False)
    with pytest.raises(RuntimeError, match="not finalized"):
        _ = app.tasks
    app.finalize()
    assert "celery.backend_cleanup" in app.tasks


def test_finalize_announces_itself_once(app: Celery) -> None:
    seen: list[Any] = []

    def receive(sender: Any, **_: Any) -> None:
        seen.append(sender)

    app.on_after_finalize.connect(receive)
    app.finalize()
    app.finalize()
    assert seen == [app]


def test_built_in_tasks(app: Celery) -> None:
    add = app.task(name="add")(lambda x, y: x + y)
    assert app.tasks["celery.accumulate"](1, 2, index=1) == 2
    assert app.tasks["celery.map"](app.task(name="n")(plain).s(), [1, 2]) == [1, 2]
    assert app.tasks["celery.starmap"](dict(add.s()), [[1, 2], [3, 4]]) == [3, 7]
    assert app.tasks["celery.chunks"](add.s(), [[1, 2], [3, 4], [5, 6]], 2) == [[3, 7], [11]]
    app.tasks["celery.backend_cleanup"]()


def test_one_task_made_by_many_threads(app: Celery) -> None:
    made: list[int] = []

    class Counting(Task[..., Any]):
        def __init__(self) -> None:
            made.append(1)

    task = app.task(base=Counting, name="t")(plain)
    threads = [threading.Thread(target=lambda: task.name) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


# ------------------------------------------------------------------ sharing


def test_shared_tasks_live_in_every_app() -> None:
    def shared_one(x: int) -> int:
        return x + 1

    before = Celery("before")
    before.finalize()
    task = shared_task(name="lib.shared_one")(shared_one)
    after = Celery("after")
    assert before.tasks["lib.shared_one"](1) == 2
    assert after.tasks["lib.shared_one"](1) == 2
    after.set_current()
    assert task.app is after
    before.set_current()
    assert task.app is before
    assert task(3) == 4


def test_shared_task_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="twice"):
        shared_task(shared_task(name="lib.twice")(plain))


def test_shared_false_keeps_a_task_to_its_app(app: Celery) -> None:
    app.task(name="lib.private", shared=False)(plain)
    app.task(name="lib.public")(plain)
    other = Celery(set_as_current=False)
    assert "lib.public" in other.tasks
    assert "lib.private" not in other.tasks


def test_an_own_task_replaces_a_copy_from_another_app(app: Celery) -> None:
    Celery(set_as_current=False).task(name="lib.same_name")(lambda: "theirs")
    assert app.tasks["lib.same_name"]() == "theirs"
    own = app.task(name="lib.same_name")(lambda: "mine")
    assert app.tasks["lib.same_name"] is own
    assert own() == "mine"


def test_current_app_and_task() -> None:
    app = Celery("mine")
    assert current_app.main == "mine"
    assert not current_task

    @app.task(name="seen")
    def seen() -> Any:
        return current_task.name

    assert seen() == "seen"


# ------------------------------------------------------------------ registry


def test_missing_tasks_are_not_registered() -> None:
    registry = TaskRegistry()
    with pytest.raises(NotRegistered, match="nope"):
        _ = registry["nope"]
    with pytest.raises(NotRegistered):
        registry.unregister("nope")


def test_registry_adds_and_removes(app: Celery) -> None:
    registry = TaskRegistry()
    task = app.task(name="t")(plain)
    registry.register(task)
    assert registry.regular() == {"t": task}
    assert registry.periodic() == {}
    registry.unregister(task)
    assert not registry


# ------------------------------------------------------------------ plans


def test_settings_decide_what_a_task_leaves_open(app: Celery) -> None:
    task = app.task(name="t")(plain)
    seen = []
    for value in (False, True):
        app.conf.task_acks_late = value
        seen.append((task.plan.acks_late, task.acks_late))
    task.acks_late = False
    seen.append((task.plan.acks_late, task.acks_late))
    assert seen == [(False, False), (True, True), (False, False)]


def test_plan_knows_overridden_hooks(app: Celery) -> None:
    class Hooked(Task[..., Any]):
        def on_success(self, *args: Any) -> None: ...

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    plan = app.task(name="t", base=Hooked)(plain).plan
    assert (plan.has_on_success, plan.custom_call) == (True, True)
    assert (plan.has_on_failure, plan.has_after_return) == (False, False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (True, True)),
        ({"acks_on_failure_or_timeout": False}, (False, False)),
        ({"acks_on_failure_or_timeout": False, "acks_on_timeout": True}, (False, True)),
        ({"acks_on_failure": False}, (False, True)),
    ],
)
def test_acknowledging_failures(app: Celery, options: dict[str, bool], expected: tuple[bool, bool]) -> None:
    plan = app.task(name="t", **options)(plain).plan
    assert (plan.acks_on_failure, plan.acks_on_timeout) == expected


def test_annotations_change_tasks(app: Celery) -> None:
    app.conf.task_annotations = {"*": {"rate_limit": "1/s"}, "t": {"time_limit": 3, "@run": lambda f: lambda x: -f(x)}}
    task = app.task(name="t")(plain)
    app.finalize()
    assert task.plan.rate_limit == "1/s"
    assert task.plan.time_limit == 3
    assert task.run(2) == -2


def test_annotations_reach_tasks_made_before_the_settings(app: Celery) -> None:
    task = app.task(name="t", lazy=False)(plain)
    app.conf.task_annotations = {"t": {"rate_limit": "2/s"}}
    assert task.plan.rate_limit == "2/s"


def test_from_config_of_a_subclass(app: Celery) -> None:
    class Configured(Task[..., Any]):
        house: Any = None
        from_config = (("house", "my_house"),)

    app.conf.my_house = "blue"
    assert app.task(base=Configured, name="t")(plain).house == "blue"  # type: ignore[attr-defined]


# ------------------------------------------------------------------ settings and connections


def test_constructor_arguments_are_settings() -> None:
    app = Celery(broker="memory://b", backend="memory://r", include=["x"], task_acks_late=False, set_as_current=False)
    assert app.conf.broker_url == "memory://b"
    assert app.conf.result_backend == "memory://r"
    assert app.conf.include == ["x"]
    assert app.conf.task_acks_late is False


def test_nothing_configured_is_the_embedded_broker() -> None:
    app = Celery("demo", set_as_current=False)
    assert app.default_url() == "sqlite://"
    assert app.name == "demo"


def test_unsupported_constructor_arguments_are_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="amqp"):
        Celery(amqp="mod:Class", set_as_current=False)
    with pytest.raises(ImproperlyConfigured, match="loader"):
        Celery(loader="nothing_of_this_name:Loader", set_as_current=False)


def test_configuration_is_read_late(app: Celery) -> None:
    seen: list[str] = []

    def before(**_: Any) -> None:
        seen.append("configure")

    def after(source: Any, **_: Any) -> None:
        seen.append(f"configured {source.timezone}")

    app.on_configure.connect(before)
    app.on_after_configure.connect(after)
    app.config_from_object({"timezone": "Europe/Prague"})
    app.task(name="t")(plain)
    assert seen == []
    assert str(app.timezone) == "Europe/Prague"
    assert seen == ["configure", "configured Europe/Prague"]


def test_changing_the_broker_url_connects_anew(app: Celery) -> None:
    first = app.broker
    app.conf.broker_url = "memory://elsewhere"
    assert app.broker is not first
    assert app.broker.url == "memory://elsewhere"


def test_other_settings_keep_connections(app: Celery) -> None:
    first, session = app.broker, app.sessions.get()
    app.conf.task_default_queue = "q"
    assert app.broker is first
    assert app.sessions.get() is session


def test_config_from_envvar(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.config_from_envvar("NO_SUCH_VARIABLE", silent=True) is False
    with pytest.raises(ImproperlyConfigured, match="NO_SUCH_VARIABLE"):
        app.config_from_envvar("NO_SUCH_VARIABLE")


def test_config_from_cmdline(app: Celery) -> None:
    app.config_from_cmdline([".prefetch_multiplier=7"], namespace="worker")
    assert app.conf.worker_prefetch_multiplier == 7


def test_periodic_tasks_wait_for_the_settings(app: Celery) -> None:
    task = app.task(name="t")(plain)
    key = app.add_periodic_task(10.0, task.s(1), name="every ten", queue="q")
    assert not app.conf.configured
    assert app.conf.beat_schedule[key] == {
        "schedule": 10.0, "task": "t", "args": (1,), "kwargs": {}, "options": {"queue": "q"},
    }  # fmt: skip
    assert app.add_periodic_task(5.0, task.s(2)) == "t(2)"
    assert set(app.conf.beat_schedule) == {"every ten", "t(2)"}


def test_pickling_rebuilds_an_app() -> None:
    app = Celery("proj", broker="memory://b", set_as_current=False, strict_typing=False)
    copy = pickle.loads(pickle.dumps(app))
    assert (copy.main, copy.conf.broker_url, copy.strict_typing) == ("proj", "memory://b", False)


def test_pickling_a_task_finds_it_by_name() -> None:
    app = Celery("proj")
    task = app.task(name="t")(plain)
    assert pickle.loads(pickle.dumps(task)) is task


def test_bugreport_masks_passwords() -> None:
    app = Celery(broker="memory://me:secret@host", backend="memory://", set_as_current=False)
    text = app.bugreport()
    assert "secret" not in text
    assert "celeriac:" in text


def test_worker_main_needs_the_command(app: Celery) -> None:
    with pytest.raises(ValueError, match="worker"):
        app.worker_main(["beat"])


# ------------------------------------------------------------------ discovery


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unique_name: str) -> Iterator[str]:
    name = f"pkg_{unique_name.replace('-', '_')}"
    root = tmp_path / name
    (root / "empty").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "empty" / "__init__.py").write_text("")
    (root / "tasks.py").write_text("found = True\n")
    (root / "broken.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def test_autodiscovery_imports_related_modules(app: Celery, package: str) -> None:
    app.autodiscover_tasks([package, f"{package}.empty"])
    assert f"{package}.tasks" not in sys.modules
    app.import_default_modules()
    assert sys.modules[f"{package}.tasks"].found


def test_autodiscovery_by_force_and_function(app: Celery, package: str) -> None:
    app.autodiscover_tasks(lambda: [package], force=True)
    assert f"{package}.tasks" in sys.modules


def test_errors_inside_a_related_module_come_out(app: Celery, package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        app.autodiscover_tasks([package], related_name="broken", force=True)


def test_missing_packages_come_out(app: Celery) -> None:
    with pytest.raises(ModuleNotFoundError):
        app.autodiscover_tasks(["no_such_package_anywhere"], force=True)


def test_imports_and_include_are_imported(app: Celery, package: str) -> None:
    app.conf.imports = (f"{package}.tasks",)
    app.conf.include = [f"{package}.empty"]
    assert [m.__name__ for m in app.import_default_modules()] == [f"{package}.tasks", f"{package}.empty"]


def test_import_modules_reaches_this_app_only(app: Celery, package: str) -> None:
    app.autodiscover_tasks([package])
    signals.import_modules.send(Celery(set_as_current=False))
    assert f"{package}.tasks" not in sys.modules


# ------------------------------------------------------------------ running in place


def test_update_state_stores(app: Celery) -> None:
    task = app.task(name="t")(plain)
    task.update_state("id-1", "PROGRESS", {"done": 1})
    result = app.AsyncResult("id-1")
    assert (result.state, result.info) == ("PROGRESS", {"done": 1})
    with pytest.raises(ValueError, match="task_id"):
        task.update_state(state="PROGRESS")


def test_request_outside_of_a_run_is_empty(app: Celery) -> None:
    request = app.task(name="t")(plain).request
    assert (request.id, request.called_directly, request.retries) == (None, True, 0)


def test_pushed_requests(app: Celery) -> None:
    task = app.task(name="t")(plain)
    task.push_request(id="x", retries=2)
    assert (task.request.id, task.request_stack.top.id) == ("x", "x")  # type: ignore[union-attr]
    task.pop_request()
    assert task.request.id is None


def test_apply_runs_links_and_chains_of_retries(app: Celery) -> None:
    seen: list[int] = []

    @app.task(bind=True, max_retries=3)
    def flaky(self: Any) -> int:
        seen.append(self.request.retries)
        if self.request.retries < 2:
            raise self.retry(countdown=100)
        return int(self.request.retries)

    result = flaky.apply()
    assert (result.get(), seen) == (2, [0, 1, 2])


def test_apply_gives_up_after_max_retries(app: Celery) -> None:
    @app.task(bind=True, max_retries=1)
    def hopeless(self: Any) -> None:
        raise self.retry(exc=ValueError("no"))

    result = hopeless.apply()
    assert result.state == "FAILURE"
    with pytest.raises(ValueError, match="no"):
        result.get()
    with pytest.raises(ValueError, match="no"):
        hopeless.apply(throw=True)


def test_retry_without_reason_says_so(app: Celery) -> None:
    @app.task(bind=True, max_retries=0)
    def hopeless(self: Any) -> None:
        raise self.retry()

    with pytest.raises(celeriac.Task.MaxRetriesExceededError, match="Can't retry"):
        hopeless.apply(throw=True)


def test_retry_of_a_direct_call_raises_the_reason(app: Celery) -> None:
    @app.task(bind=True)
    def direct(self: Any) -> None:
        raise self.retry(exc=ValueError("reason"))

    with pytest.raises(ValueError, match="reason"):
        direct()


def test_autoretry(app: Celery) -> None:
    seen: list[int] = []

    @app.task(
        bind=True, autoretry_for=(LookupError,), dont_autoretry_for=(IndexError,), retry_kwargs={"max_retries": 2}
    )
    def flaky(self: Any, error: Any) -> None:
        seen.append(self.request.retries)
        raise error

    assert flaky.apply((KeyError("k"),)).state == "FAILURE"
    assert seen == [0, 1, 2]
    seen.clear()
    flaky.apply((IndexError("i"),))
    assert seen == [0]


def test_results_carry_the_app(app: Celery) -> None:
    app.backend.store_many([ResultRecord("id-2", "SUCCESS", 4)])
    result = app.AsyncResult("id-2")
    assert result.get(timeout=1) == 4
    assert isinstance(result, app.AsyncResult)
    assert app.task(name="t")(plain).AsyncResult("id-2").result == 4


def test_made_once_is_made_once() -> None:
    class Owner:
        lock = threading.RLock()

        @made_once
        def value(self) -> object:
            """Docs."""
            return object()

    owner = Owner()
    assert owner.value is owner.value
    assert Owner.value.__doc__ == "Docs."
    del owner.__dict__["value"]
    assert owner.value is not None


@pytest.mark.parametrize(
    ("option", "url", "meant"),
    [
        ("broker", "rabbitmq://h", "amqp"),
        ("broker", "rabbit://h", "amqp"),
        ("broker", "valkey://h", "redis"),
        ("backend", "postgresql://h/d", "db+postgresql"),
        ("backend", "amqp://", "rpc"),
    ],
)
def test_the_name_of_a_server_is_no_scheme(option: str, url: str, meant: str) -> None:
    app = Celery("proj", broker=url) if option == "broker" else Celery("proj", backend=url)
    with pytest.raises(ImproperlyConfigured, match=f"did you mean {re.escape(meant)}\\?"):
        getattr(app, option)


def test_two_threads_that_use_a_new_app_first_do_not_wait_for_each_other() -> None:
    app = Celery("first", set_as_current=False, broker="memory://first-use")
    other = threading.Thread(target=lambda: app.broker, daemon=True)

    def start_the_other(sender: Celery, **_: object) -> None:
        other.start()
        # It cannot end before the settings are read; this gives it the time to take what it takes until then.
        other.join(0.1)

    app.on_configure.connect(start_the_other, weak=False)
    reader = threading.Thread(target=lambda: app.conf.broker_url, daemon=True)
    reader.start()
    for thread in (reader, other):
        thread.join(PATIENCE)
        assert not thread.is_alive()
