from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Optional, Union

import pytest
from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator

from celeriac.exceptions import EncodeError, ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac import Celery
    from celeriac.message import Delivery

contexts: list[Any] = []


class Item(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _see_context(cls, value: int, info: ValidationInfo) -> int:
        contexts.append(info.context)
        return value


class Secret(BaseModel):
    """Its dump does not give it back."""

    number: int

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"number": -1}


class Result(BaseModel):
    total: int
    note: str | None = None


def bodies(sent: Callable[..., list[Delivery]], app: Celery) -> list[Any]:
    return [
        app.serializers.loads(each.message.body, "application/json", "utf-8", frozenset({"application/json"}))
        for each in sent()
    ]


def test_arguments_become_models_and_a_returned_model_plain_data(app: Celery) -> None:
    @app.task(pydantic=True)
    def total(item: Item, extra: int = 1) -> Result:
        assert isinstance(item, Item)
        return Result(total=item.number + extra)

    value: Any = total.apply(({"number": "4"},)).get()
    assert value == {"total": 5, "note": None}


@pytest.mark.parametrize("annotation", [Optional[Item], Item | None, "Item | None", Union[None, Item]])  # noqa: UP007, UP045
def test_optional_models_are_validated_unless_they_are_none(app: Celery, annotation: Any) -> None:
    def kind(item: Any = None) -> str:
        return type(item).__name__

    kind.__annotations__["item"] = annotation
    task = app.task(pydantic=True)(kind)
    assert task.apply(({"number": 1},)).get() == "Item"
    assert task.apply((None,)).get() == "NoneType"
    assert task.apply(()).get() == "NoneType"


@pytest.mark.parametrize("annotation", [list[Item], Union[Item, Result], dict, "NoSuchName"])  # noqa: UP007
def test_other_annotations_are_left_alone(app: Celery, annotation: Any) -> None:
    def same(item: Any) -> Any:
        return item

    same.__annotations__["item"] = annotation
    assert app.task(pydantic=True)(same).apply(({"number": "1"},)).get() == {"number": "1"}


def test_invalid_argument_fails_the_task(app: Celery) -> None:
    @app.task(pydantic=True)
    def total(item: Item) -> int:
        return item.number

    with pytest.raises(ValidationError, match="number"):
        total.apply(({"number": "many"},), throw=True)


def test_strict_validation_converts_nothing(app: Celery) -> None:
    @app.task(pydantic=True, pydantic_strict=True)
    def total(item: Item) -> int:
        return item.number

    assert total.apply(({"number": 4},)).get() == 4
    with pytest.raises(ValidationError):
        total.apply(({"number": "4"},), throw=True)


def test_validators_see_the_context_with_app_and_name(app: Celery) -> None:
    @app.task(pydantic=True, pydantic_context={"tenant": 7}, name="total")
    def total(item: Item) -> int:
        return item.number

    contexts.clear()
    total.apply(({"number": 4},))
    assert contexts == [{"tenant": 7, "celery_app": app, "celery_task_name": "total"}]


def test_dump_options_apply_to_the_returned_model(app: Celery) -> None:
    @app.task(pydantic=True, pydantic_dump_kwargs={"exclude_none": True})
    def total(item: Item) -> Result:
        return Result(total=item.number)

    value: Any = total.apply(({"number": 4},)).get()
    assert value == {"total": 4}


def test_a_value_of_another_type_is_returned_as_it_is(app: Celery) -> None:
    @app.task(pydantic=True)
    def total(item: Item) -> Result:
        return item.number  # type: ignore[return-value]

    value: Any = total.apply(({"number": 4},)).get()
    assert value == 4


def test_bound_task_is_the_first_argument(app: Celery) -> None:
    @app.task(pydantic=True, bind=True, name="who")
    def who(self: Any, item: Item) -> Any:
        return self.name, item.number, self.request.id

    assert who.apply(({"number": 4},), task_id="i").get() == ("who", 4, "i")
    assert who.apply((), {"item": Item(number=5)}, task_id="i").get() == ("who", 5, "i")


def test_arguments_of_calls_are_checked_against_the_function(app: Celery) -> None:
    @app.task(pydantic=True, autoretry_for=(KeyError,))
    def total(item: Item) -> int:
        return item.number

    with pytest.raises(TypeError, match=r"total\(\) missing 1 required positional argument: 'item'"):
        total.delay()  # type: ignore[call-arg]


def test_models_given_to_calls_are_sent_as_plain_data(app: Celery, sent: Callable[..., list[Delivery]]) -> None:
    @app.task(pydantic=True, bind=True)
    def total(self: Any, item: Item, other: Item | None = None) -> int:
        return item.number

    total.delay(Item(number=4), other=Item(number=5))
    total.s(Item(number=6)).apply_async()
    app.publish_many([total.s(Item(number=7))])
    assert [body[:2] for body in bodies(sent, app)] == [
        [[{"number": 4}], {"other": {"number": 5}}],
        [[{"number": 6}], {}],
        [[{"number": 7}], {}],
    ]


def test_a_model_that_its_dump_does_not_give_back_is_not_dumped(app: Celery) -> None:
    @app.task(pydantic=True)
    def total(item: Secret) -> int:
        return item.number

    with pytest.raises(EncodeError, match="Secret"):
        total.delay(Secret(number=4))


def test_models_are_pickled_as_they_are(app: Celery, sent: Callable[..., list[Delivery]]) -> None:
    @app.task(pydantic=True)
    def total(item: Item) -> int:
        return item.number

    total.apply_async((Item(number=4),), serializer="pickle")
    (delivery,) = sent()
    accept = frozenset({"application/x-python-serialize"})
    body = app.serializers.loads(delivery.message.body, "application/x-python-serialize", "binary", accept)
    assert body[0][0] == Item(number=4)


def test_a_model_passes_through_eager_mode(app: Celery) -> None:
    @app.task(pydantic=True)
    def total(item: Item) -> int:
        return item.number

    app.conf.task_always_eager = True
    assert total.delay(Item(number=4)).get() == 4


@pytest.mark.parametrize("option", ["pydantic_strict", "pydantic_context", "pydantic_dump_kwargs"])
def test_options_without_pydantic_are_refused(app: Celery, option: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{option} without pydantic=True"):
        app.task(**{option: {"a": 1}})(lambda: None)


def test_an_unknown_option_of_pydantic_is_refused(app: Celery) -> None:
    with pytest.raises(ImproperlyConfigured, match="pydantic_mode"):
        app.task(pydantic=True, pydantic_mode=1)(lambda: None)


def test_missing_package_is_an_error_that_names_the_extra(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "celeriac.app.validation", raising=False)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ImproperlyConfigured, match=r"celeriac\[pydantic\]"):
        app.task(pydantic=True)(lambda: None)
