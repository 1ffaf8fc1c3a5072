"""What is misspelt, or of the wrong type, is answered with one error that names it and what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.exceptions import EncodeError, UnknownSettingWarning

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("p", broker=f"memory://{unique_name}", backend="memory://") as app:
        yield app


@pytest.mark.parametrize(
    ("given", "meant"), [("contdown", "countdown"), ("retires", "retries"), ("time_limits", "time_limit")]
)
def test_misspelt_option_of_a_call_is_refused(app: Celery, given: str, meant: str) -> None:
    options: dict[str, Any] = {given: 1}
    with pytest.raises(TypeError, match=f"p.add.*{given}=1; did you mean {meant}"):
        app.send_task("p.add", **options)


@pytest.mark.parametrize("name", ["message_id", "app_id", "tenant", "x_trace"])
def test_other_names_become_properties_of_the_message(app: Celery, name: str) -> None:
    options: dict[str, Any] = {name: "1"}
    assert app.send_task("p.add", **options).id


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"countdown": "3x"}, TypeError, "countdown must be a number of seconds or a timedelta, got '3x'"),
        ({"priority": "high"}, ValueError, "priority must be a whole number, got 'high'"),
        ({"queue": 5}, TypeError, "queue of task 'p.add' must be a name or a Queue, got 5"),
    ],
)
def test_option_of_the_wrong_type_is_named(
    app: Celery, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        app.send_task("p.add", **options)


@pytest.mark.parametrize("protocol", [1, 2])
def test_argument_that_cannot_be_sent_is_named_as_the_caller_knows_it(app: Celery, protocol: int) -> None:
    app.conf.task_protocol = protocol
    with pytest.raises(
        EncodeError, match=r"Task 'p.add' cannot be sent: json cannot encode the object at .*args.*\[1\]"
    ):
        app.send_task("p.add", (1, object()))
    with pytest.raises(EncodeError, match=r"kwargs.*\['x'\]"):
        app.send_task("p.add", (), {"x": object()})


def test_misspelt_argument_of_the_app_is_refused_and_settings_are_taken() -> None:
    with pytest.raises(TypeError, match="brokr='redis://'; did you mean broker"):
        Celery("p", brokr="redis://")
    assert Celery("p", task_acks_late=False, set_as_current=False).conf.task_acks_late is False


def test_misspelt_option_of_a_task_is_warned_of(app: Celery) -> None:
    with pytest.warns(UnknownSettingWarning, match="p.add.*acks_lat=True; did you mean acks_late"):

        @app.task(name="p.add", shared=False, acks_lat=True, own_thing=1)
        def add() -> None: ...

        task: Any = app.tasks["p.add"]
    assert task.own_thing == 1
