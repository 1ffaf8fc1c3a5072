"""The kinds of steps.  When their methods are called is the blueprint's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from celeriac.utils.imports import qualname

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ConsumerStep", "StartStopStep", "Step"]


class StepType(type):
    """Names the classes of steps: a step's name is ``module.Class`` unless it has one of its own."""

    name: str

    def __new__(mcs, class_name: str, bases: tuple[type, ...], attributes: dict[str, Any], **options: Any) -> StepType:
        made = super().__new__(mcs, class_name, bases, attributes, **options)
        if "name" not in attributes:
            made.name = f"{made.__module__}.{made.__qualname__}"
        return made

    def __str__(cls) -> str:
        return cls.name

    def __repr__(cls) -> str:
        return f"step:{cls.name}{{{', '.join(map(_name_of, getattr(cls, 'requires', ())))}}}"


def _name_of(required: Any) -> str:
    return required if isinstance(required, str) else str(getattr(required, "name", required))


class Step(metaclass=StepType):
    """A step that does something once, when the worker is put together.

    Args:
        parent: The worker, or its consumer.
        **kwargs: The options of the worker, ``app.user_options["worker"]`` among them.

    Attributes:
        name: Its name; ``module.Class`` unless it is set.
        label: A short name for logs and graphs; None is the end of `name`.
        conditional: `include_if` has to be overridden to say when it is there.
        requires: Steps that come before: their classes, or their names as ``module:Class``.
        last: It comes behind all others.
        enabled: What `include_if` answers.
    """

    name: ClassVar[str]
    label: ClassVar[str | None] = None
    conditional: ClassVar[bool] = False
    requires: ClassVar[Iterable[Any]] = ()
    last: bool = False
    enabled: bool = True

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        pass

    def include_if(self, parent: Any) -> bool:
        """Whether it is there at all."""
        return self.enabled

    def instantiate(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """Make an object of a class, or of its dotted path."""
        from celeriac.utils.imports import instantiate

        return instantiate(name, *args, **kwargs)

    def include(self, parent: Any) -> bool:
        """Create it, if it is to be there; returns that."""
        if not self.include_if(parent):
            return False
        self.create(parent)
        return True

    def create(self, parent: Any) -> Any:
        """Do what it is for."""

    def info(self, parent: Any) -> Mapping[str, Any]:
        """What it adds to ``inspect stats``."""
        return {}

    @property
    def alias(self) -> str:
        """Its short name."""
        return self.label or _last_part(self.name)

    def __repr__(self) -> str:
        return f"<step: {self.alias}>"


def _last_part(name: str) -> str:
    return name.rsplit(":", 1)[-1].rsplit(".", 1)[-1]


class StartStopStep(Step):
    """A step that is started and stopped with the worker, or with each connection of its consumer.

    Attributes:
        obj: What `create` made; it is started and stopped unless the methods here are overridden.
    """

    obj: Any = None

    def include(self, parent: Any) -> bool:
        """Create it, if it is to be there; returns that."""
        if not self.include_if(parent):
            return False
        self.obj = self.create(parent)
        return True

    def start(self, parent: Any) -> Any:
        """Begin."""
        if self.obj is not None:
            return self.obj.start()
        return None

    def stop(self, parent: Any) -> Any:
        """End."""
        if self.obj is not None:
            return self.obj.stop()
        return None

    def close(self, parent: Any) -> Any:
        """Take on nothing new: the end is near."""

    def terminate(self, parent: Any) -> Any:
        """End at once."""
        if self.obj is not None:
            return getattr(self.obj, "terminate", self.obj.stop)()
        return self.stop(parent) if type(self).stop is not StartStopStep.stop else None


class ConsumerStep(StartStopStep):
    """A step that gets messages of its own from the worker's broker.

    Override `get_consumers`. Its callbacks run in the thread of the worker's steps.

    Attributes:
        consumers: What `get_consumers` gave.
    """

    requires: ClassVar[Iterable[Any]] = ("celeriac.worker.consumer:Connection",)
    consumers: list[Any] | None = None

    def get_consumers(self, channel: Any) -> Iterable[Any]:
        """The consumers: `celeriac.messaging.Consumer` objects of this channel."""
        raise NotImplementedError(f"{qualname(self)} is a ConsumerStep: override get_consumers(channel)")

    def start(self, c: Any) -> None:
        """Consume."""
        channel = c.connection.channel()
        self.consumers = list(self.get_consumers(channel) or ())
        for consumer in self.consumers:
            consumer.consume()

    def stop(self, c: Any) -> None:
        """Cancel the consumers."""
        for consumer in self.consumers or ():
            consumer.cancel()

    def shutdown(self, c: Any) -> None:
        """Cancel the consumers and close their channels."""
        self.stop(c)
        for channel in {id(each.channel): each.channel for each in self.consumers or ()}.values():
            channel.close()
        self.consumers = None
