"""``pydantic=True``: arguments of a task validated by its annotations, and models turned into plain data to be sent.

Loaded for the first task that asks for it; nothing else imports pydantic.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from celeriac.utils.functions import is_coroutine_function

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celeriac.app.declaration import PydanticOptions

__all__ = ["Validation"]

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_UNIONS = (typing.Union, types.UnionType)


class Validation:
    """What pydantic does for one task.

    Only parameters annotated with a model, or ``Optional`` of one, take part; other annotations, unions and
    containers of models among them, are left alone, as in Celery.

    Args:
        function: The function of the task.
        options: What the decorator was given.
        app: The application, for the context of validators.
        name: Name of the task, likewise.
    """

    def __init__(self, function: Callable[..., Any], options: PydanticOptions, app: Any, name: str) -> None:
        self._function = function
        self._strict = options.strict
        self._context = {**options.context, "celery_app": app, "celery_task_name": name}
        self._dump_kwargs = {"mode": "json", **options.dump_kwargs}
        self._signature = inspect.signature(function)
        annotations = _annotations(function)
        self._models = {
            key: model
            for key, parameter in self._signature.parameters.items()
            if parameter.kind not in _VARIADIC and (model := _model_of(annotations.get(key))) is not None
        }
        self._returns = _model_of(annotations.get("return"))

    def wrap(self) -> Callable[..., Any]:
        """The function with its arguments validated, and a returned model dumped."""
        function = self._function

        @functools.wraps(function)
        def validated(*args: Any, **kwargs: Any) -> Any:
            bound = self._bind(args, kwargs)
            return self._dump_returned(function(*bound.args, **bound.kwargs))

        @functools.wraps(function)
        async def validated_coroutine(*args: Any, **kwargs: Any) -> Any:
            bound = self._bind(args, kwargs)
            return self._dump_returned(await function(*bound.args, **bound.kwargs))

        return validated_coroutine if is_coroutine_function(function) else validated

    def _bind(self, args: Any, kwargs: Any) -> inspect.BoundArguments:
        """The arguments of a run, with models made of plain data."""
        bound = self._signature.bind(*args, **kwargs)
        for key, model in self._models.items():
            value = bound.arguments.get(key)
            if value is not None:
                bound.arguments[key] = self._validate(model, value)
        return bound

    def _dump_returned(self, value: Any) -> Any:
        if self._returns is not None and isinstance(value, self._returns):
            return value.model_dump(**self._dump_kwargs)
        return value

    def _validate(self, model: type[BaseModel], value: Any) -> BaseModel:
        return model.model_validate(value, strict=self._strict, context=self._context)

    def dump(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Arguments of a call with models as plain data, where validating that gives an equal model.

        Args:
            task: The task, which takes the place of a bound function's first parameter.
            args: Positional arguments.
            kwargs: Keyword arguments.
        """
        if not any(isinstance(value, BaseModel) for value in (*args, *kwargs.values())):
            return args, kwargs
        names = [key for key, each in self._signature.parameters.items() if each.kind not in _VARIADIC]
        if task.binds_itself:
            del names[0]
        keyed = {key: self._dump(self._models.get(key), value) for key, value in kwargs.items()}
        placed = [
            self._dump(self._models.get(names[at]) if at < len(names) else None, value) for at, value in enumerate(args)
        ]
        return tuple(placed), keyed

    def _dump(self, model: type[BaseModel] | None, value: Any) -> Any:
        if model is None or not isinstance(value, BaseModel):
            return value
        dumped = value.model_dump(mode="json")
        try:
            same = self._validate(model, dumped) == value
        except ValidationError:
            same = False
        # A model that its dump does not give back is left for the serializer to refuse.
        return dumped if same else value


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        # A name that only type checkers see: what is no string can still be used.
        return dict(getattr(function, "__annotations__", {}))


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model of an annotation: itself, or the only alternative to None."""
    if typing.get_origin(annotation) in _UNIONS:
        rest = [each for each in typing.get_args(annotation) if each is not type(None)]
        annotation = rest[0] if len(rest) == 1 else None
    # A parametrised generic is a class too; pydantic makes a real one of its own.
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None
