"""`Blueprint`: the steps of a worker or of its consumer, in the order of what they require."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.graph import DependencyGraph
from celeriac.utils.imports import qualname, symbol_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celeriac.bootsteps.step import Step

__all__ = ["CLOSE", "RUN", "TERMINATE", "Blueprint"]

logger = logging.getLogger("celeriac.bootsteps")

RUN: Final = 1
CLOSE: Final = 2
TERMINATE: Final = 3
_STATES: Final = {0: "initializing", RUN: "running", CLOSE: "closing", TERMINATE: "terminating"}


class Blueprint:
    """Steps, put in order, created, started and stopped.

    Args:
        steps: Classes of steps, or their dotted paths, besides `default_steps`.
        name: Name for logs.
        on_start: Called before the first step is started.
        on_close: Called when the steps are closed.
        on_stopped: Called when the steps are stopped.

    Attributes:
        state: None before the start, then `RUN`, `CLOSE`, `TERMINATE`.
        started: How many steps were started.
        steps: The steps by name.
        order: Those that are there, in order.
        graph: Which step requires which.
    """

    name: ClassVar[str | None] = None
    default_steps: ClassVar[Iterable[Any]] = ()

    def __init__(
        self,
        steps: Iterable[Any] | None = None,
        name: str | None = None,
        on_start: Callable[[], Any] | None = None,
        on_close: Callable[[], Any] | None = None,
        on_stopped: Callable[[], Any] | None = None,
    ) -> None:
        self.title = name or self.name or type(self).__qualname__
        self.types = {*self.default_steps, *(steps or ())}
        self.on_start, self.on_close, self.on_stopped = on_start, on_close, on_stopped
        self.state: int | None = None
        self.started = 0
        self.steps: dict[str, Step] = {}
        self.order: list[Step] = []
        self.graph = DependencyGraph()
        self._stopped = threading.Event()

    # -- putting it together ------------------------------------------------------------------------------------

    def known(self, name: str) -> Any:
        """The class of a step that users may name otherwise than by its path; None is none."""
        return None

    def find(self, required: Any) -> type[Step]:
        """The class of a step: itself, or by its name.

        Raises:
            ImproperlyConfigured: There is no such step.
        """
        if not isinstance(required, str):
            return required  # type: ignore[no-any-return]
        if (found := self.known(required)) is not None:
            return found  # type: ignore[no-any-return]
        for cls in self.types:
            if not isinstance(cls, str) and required in (cls.name, f"{cls.__module__}:{cls.__qualname__}"):
                return cls  # type: ignore[no-any-return]
        try:
            return symbol_by_name(required)  # type: ignore[no-any-return]
        except (ImportError, AttributeError, ValueError) as exc:
            raise ImproperlyConfigured(f"there is no step {required!r} in the {self.title} blueprint: {exc}") from exc

    def claim(self) -> list[type[Step]]:
        """The classes of all steps and of all they require, in order.

        Raises:
            ImproperlyConfigured: A required step is missing, or steps require each other.
        """
        needs: dict[type[Step], list[type[Step]]] = {}
        # What users add comes as early as what it requires allows: it is then stopped as late.
        own = {self.find(each) for each in self.default_steps}
        waiting = sorted((self.find(each) for each in self.types), key=lambda cls: (cls in own, cls.name))
        while waiting:
            cls = waiting.pop(0)
            if cls not in needs:
                needs[cls] = sorted((self.find(each) for each in cls.requires), key=lambda cls: cls.name)
                waiting.extend(needs[cls])
        ending = [cls for cls in needs if cls.last]
        for cls in ending:
            needs[cls] += [other for other in needs if other not in (cls, *needs[cls]) and other not in ending]
        self.graph = DependencyGraph(needs.items())
        _check_circles(needs)
        found: list[type[Step]] = self.graph.topsort()
        return found

    def apply(self, parent: Any, **kwargs: Any) -> Blueprint:
        """Create the steps.

        Args:
            parent: The worker, or its consumer; its attribute ``steps`` becomes the list of them.
            **kwargs: For the constructors of the steps.
        """
        for cls in self.claim():
            step = cls(parent, **kwargs)
            self.steps[step.name] = step
            if step.include(parent):
                self.order.append(step)
        parent.steps = self.order
        return self

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self, parent: Any) -> None:
        """Start the steps in order; what one raises ends that."""
        self.state = RUN
        self._stopped.clear()
        if self.on_start is not None:
            self.on_start()
        for number, step in enumerate(self.order, 1):
            self.started = number
            logger.debug("| %s: Starting %s", self.title, step.alias)
            if (function := getattr(step, "start", None)) is not None:
                function(parent)

    def close(self, parent: Any) -> None:
        """Tell the steps, in order, that the end is near."""
        if self.on_close is not None:
            self.on_close()
        self.send_all(parent, "close", "closing", reverse=False)

    def restart(self, parent: Any, method: str = "stop", description: str = "restarting") -> None:
        """Stop the steps, to start them again."""
        self.send_all(parent, method, description)

    def stop(self, parent: Any, close: bool = True, terminate: bool = False) -> None:
        """Stop the steps that were started, last first; returns when that is done."""
        what, doing = ("terminate", "terminating") if terminate else ("stop", "stopping")
        if self.state in (CLOSE, TERMINATE):
            return
        if self.state == RUN:
            self.state = CLOSE
            if close:
                self.close(parent)
            self.state = TERMINATE if terminate else CLOSE
            self.send_all(parent, what, doing)
        self.state = TERMINATE
        if self.on_stopped is not None:
            self.on_stopped()
        self._stopped.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it is stopped; False when that takes longer."""
        return self._stopped.wait(timeout)

    def send_all(
        self,
        parent: Any,
        method: str,
        description: str | None = None,
        reverse: bool = True,
        propagate: bool = False,
        args: Iterable[Any] = (),
    ) -> None:
        """Call a method of every step that was started and has it.

        Args:
            parent: The worker, or its consumer.
            method: Name of the method.
            description: For the log.
            reverse: The last step first.
            propagate: An exception ends it; else it is logged.
            args: Further arguments.
        """
        steps = self.order[: self.started]
        for step in reversed(steps) if reverse else steps:
            if (function := getattr(step, method, None)) is None:
                continue
            logger.debug("| %s: %s %s", self.title, (description or method).capitalize(), step.alias)
            try:
                function(parent, *args)
            except Exception as exc:
                if propagate:
                    raise
                logger.exception("Error on %s %s: %r", description or method, step.alias, exc)

    # -- looking ------------------------------------------------------------------------------------------------

    def info(self, parent: Any) -> dict[str, Any]:
        """What the steps tell of themselves."""
        found: dict[str, Any] = {}
        for step in self.order:
            found.update(step.info(parent) or {})
        return found

    def human_state(self) -> str:
        """The state in a word."""
        return _STATES[self.state or 0]

    def connect_with(self, other: Blueprint) -> None:
        """Add the graph of another blueprint."""
        self.graph.connect(other.graph)

    @property
    def alias(self) -> str:
        """Its short name."""
        return self.title.rsplit(".", 1)[-1]

    def __getitem__(self, name: str) -> Step:
        return self.steps[name]

    def __repr__(self) -> str:
        return f"<{qualname(self)}: {self.title} {self.human_state()}>"


def _check_circles(needs: dict[type[Step], list[type[Step]]]) -> None:
    """A step that requires itself, by whatever way, can never be reached."""
    left = {cls: set(required) for cls, required in needs.items()}
    while ready := [cls for cls, required in left.items() if not required]:
        for cls in ready:
            del left[cls]
        for required in left.values():
            required.difference_update(ready)
    if left:
        names = ", ".join(sorted(cls.name for cls in left))
        raise ImproperlyConfigured(f"steps require each other: {names}; take one of these out of `requires`")
