"""Steps are created, started and stopped in the order of what they require."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from celeriac.bootsteps import CLOSE, RUN, TERMINATE, Blueprint, ConsumerStep, StartStopStep, Step
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.bootsteps import ConsumerBlueprint, WorkerBlueprint

if TYPE_CHECKING:
    from collections.abc import Iterable


class Noted(StartStopStep):
    """Writes down what happens to it."""

    def create(self, parent: Any) -> Any:
        parent.notes.append(f"create {self.alias}")

    def start(self, parent: Any) -> None:
        parent.notes.append(f"start {self.alias}")

    def stop(self, parent: Any) -> None:
        parent.notes.append(f"stop {self.alias}")

    def close(self, parent: Any) -> None:
        parent.notes.append(f"close {self.alias}")


class First(Noted):
    pass


class Second(Noted):
    requires: ClassVar[Iterable[Any]] = (First,)


class Third(Noted):
    requires: ClassVar[Iterable[Any]] = (f"{__name__}:Second",)


class Last(Noted):
    last = True


class Absent(Noted):
    def include_if(self, parent: Any) -> bool:
        return False


class Disabled(Noted):
    enabled = False


def parent() -> Any:
    return SimpleNamespace(notes=[])


def apply(*steps: Any, **kwargs: Any) -> tuple[Any, Blueprint]:
    owner = parent()
    return owner, Blueprint(steps).apply(owner, **kwargs)


def test_steps_come_behind_what_they_require_which_is_there_too() -> None:
    owner, blueprint = apply(Last, Third)
    blueprint.start(owner)
    assert [step.alias for step in blueprint.order] == ["First", "Second", "Third", "Last"]
    assert owner.notes[4:] == ["start First", "start Second", "start Third", "start Last"]
    assert (blueprint.state, blueprint.human_state()) == (RUN, "running")


def test_steps_are_closed_in_order_and_stopped_in_reverse() -> None:
    owner, blueprint = apply(Second)
    blueprint.start(owner)
    owner.notes.clear()
    blueprint.stop(owner)
    assert owner.notes == ["close First", "close Second", "stop Second", "stop First"]
    assert blueprint.state == TERMINATE
    blueprint.stop(owner)
    assert len(owner.notes) == 4
    assert blueprint.join(timeout=0)


def test_only_steps_that_were_started_are_stopped() -> None:
    class Failing(Noted):
        requires: ClassVar[Iterable[Any]] = (First,)

        def start(self, parent: Any) -> None:
            raise RuntimeError("no")

    class Never(Noted):
        requires: ClassVar[Iterable[Any]] = (Failing,)

    owner, blueprint = apply(Never)
    with pytest.raises(RuntimeError, match="no"):
        blueprint.start(owner)
    blueprint.stop(owner)
    assert "stop Never" not in owner.notes
    assert owner.notes[-2:] == ["stop Failing", "stop First"]


def test_a_step_that_cannot_stop_does_not_keep_others_from_it(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Noted):
        requires: ClassVar[Iterable[Any]] = (First,)

        def stop(self, parent: Any) -> None:
            raise RuntimeError("never")

    owner, blueprint = apply(Stubborn)
    blueprint.start(owner)
    blueprint.stop(owner)
    assert owner.notes[-1] == "stop First"
    assert "Error on stopping Stubborn: RuntimeError('never')" in caplog.text


@pytest.mark.parametrize("cls", [Absent, Disabled])
def test_steps_that_are_not_to_be_there_are_not_created(cls: type[Step]) -> None:
    owner, blueprint = apply(cls)
    blueprint.start(owner)
    assert owner.notes == []
    assert blueprint.order == owner.steps == []


def test_steps_that_require_each_other_are_refused_by_name() -> None:
    class Hen(Step):
        requires: ClassVar[Iterable[Any]] = ()

    class Egg(Step):
        requires: ClassVar[Iterable[Any]] = (Hen,)

    Hen.requires = (Egg,)
    with pytest.raises(ImproperlyConfigured, match=r"require each other: .*Egg, .*Hen"):
        apply(Hen)


def test_a_missing_step_is_an_error_that_names_it() -> None:
    class Lost(Step):
        requires: ClassVar[Iterable[Any]] = ("no.such.module:Step",)

    with pytest.raises(ImproperlyConfigured, match=r"no step 'no\.such\.module:Step'"):
        apply(Lost)


def test_constructors_get_the_options() -> None:
    class Optioned(Step):
        def __init__(self, parent: Any, canary: bool = False, **options: Any) -> None:
            parent.canary = canary

    owner, _ = apply(Optioned, canary=True, concurrency=2)
    assert owner.canary is True


def test_what_create_made_is_started_and_stopped() -> None:
    calls: list[str] = []

    class Thing:
        def start(self) -> None:
            calls.append("start")

        def stop(self) -> None:
            calls.append("stop")

        def terminate(self) -> None:
            calls.append("terminate")

    class Made(StartStopStep):
        def create(self, parent: Any) -> Any:
            return Thing()

    owner, blueprint = apply(Made)
    blueprint.start(owner)
    blueprint.restart(owner)
    blueprint.stop(owner, terminate=True)
    assert calls == ["start", "stop", "terminate"]


def test_names_info_and_graph() -> None:
    class Told(Step):
        label: ClassVar[str | None] = "told"
        requires: ClassVar[Iterable[Any]] = (First,)

        def info(self, parent: Any) -> dict[str, Any]:
            return {"told": 1}

    owner, blueprint = apply(Told)
    assert First.name == f"{__name__}.First"
    assert blueprint.info(owner) == {"told": 1}
    assert blueprint[First.name].alias == "First"
    assert blueprint[Told.name].alias == "told"
    assert blueprint.graph[Told] == [First]


def test_callbacks_tell_how_far_it_is() -> None:
    told: list[str] = []
    blueprint = Blueprint([First], on_start=lambda: told.append("start"), on_close=lambda: told.append(
        str(blueprint.state == CLOSE)), on_stopped=lambda: told.append("stopped"))  # fmt: skip
    owner = parent()
    blueprint.apply(owner).start(owner)
    blueprint.stop(owner)
    assert told == ["start", "True", "stopped"]


@pytest.mark.parametrize(
    ("blueprint", "name", "found"),
    [
        (WorkerBlueprint, "celery.worker.components:Pool", "Pool"),
        (WorkerBlueprint, "celeriac.worker.components.Timer", "Timer"),
        (WorkerBlueprint, "celery.worker.autoscale:WorkerComponent", "Autoscaler"),
        (ConsumerBlueprint, "celery.worker.consumer.connection:Connection", "Connection"),
        (ConsumerBlueprint, "celery.worker.consumer:Tasks", "Tasks"),
        (ConsumerBlueprint, "celeriac.worker.consumer.events.Events", "Events"),
    ],
)
def test_celery_s_names_of_steps_are_known(blueprint: type[Blueprint], name: str, found: str) -> None:
    assert blueprint().find(name).__name__ == found


def test_our_own_steps_can_be_imported_by_their_names() -> None:
    for blueprint in (WorkerBlueprint(), ConsumerBlueprint()):
        for cls in blueprint.types:
            assert Blueprint().find(f"{cls.__module__}:{cls.__qualname__}") is cls


def test_a_consumer_step_has_to_say_what_it_consumes() -> None:
    connection = SimpleNamespace(channel=lambda: None)
    with pytest.raises(NotImplementedError, match="override get_consumers"):
        ConsumerStep(None).start(SimpleNamespace(connection=connection))
