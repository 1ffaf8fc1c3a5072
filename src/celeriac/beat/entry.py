"""`ScheduleEntry`: one periodic task: what is called, with which arguments, and when.  It sends nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from celeriac import current
from celeriac.exceptions import ImproperlyConfigured
from celeriac.schedules import maybe_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from celeriac.schedules import schedstate

__all__ = ["BeatLazyFunc", "ScheduleEntry", "evaluated", "run_all_limit"]

#: Policies for runs that were missed while no scheduler ran.
MISFIRE: Final = re.compile(r"skip|run_once|run_all:([1-9]\d*)")


def run_all_limit(misfire: str) -> int | None:
    """How many missed runs a policy makes up one by one; None for ``skip`` and ``run_once``.

    Raises:
        ImproperlyConfigured: There is no such policy.
    """
    match = MISFIRE.fullmatch(misfire)
    if match is None:
        raise ImproperlyConfigured(
            f"misfire={misfire!r} is no policy for missed runs: use 'skip', 'run_once', or 'run_all:N'"
        )
    return int(match[1]) if match[1] else None


class BeatLazyFunc:
    """An argument that is computed when the task is sent.

    Args:
        func: Called with the other arguments.
    """

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._func = func
        self._args, self._kwargs = args, kwargs

    def __call__(self) -> Any:
        return self.delay()

    def delay(self) -> Any:
        """The value."""
        return self._func(*self._args, **self._kwargs)


def evaluated(value: Any) -> Any:
    """The value of an argument at this moment."""
    return value() if isinstance(value, BeatLazyFunc) else value


class ScheduleEntry:
    """A periodic task.

    Args:
        name: Its name in the schedule, which is unique.
        task: Name of the task.
        last_run_at: When it ran last; None is now, so that it first runs one interval from now.
        total_run_count: How often it ran.
        schedule: Seconds, a timedelta, or a schedule; None has none, and cannot be asked whether it is due.
        args: Positional arguments.
        kwargs: Keyword arguments.
        options: Options of the call, as for ``apply_async``.
        relative: See `celeriac.schedules.schedule`.
        app: The application; None is the current one.
        misfire: What to do about runs missed while no scheduler ran: ``run_once`` makes up for all of them with one,
            ``skip`` with none, ``run_all:N`` with one each, up to N.
    """

    _editable: Final = ("task", "schedule", "args", "kwargs", "options")

    def __init__(
        self,
        name: str | None = None,
        task: str | None = None,
        last_run_at: datetime | None = None,
        total_run_count: int | None = None,
        schedule: Any = None,
        args: Any = (),
        kwargs: Any = None,
        options: Any = None,
        relative: bool = False,
        app: Any = None,
        misfire: str = "run_once",
    ) -> None:
        self.app: Any = app if app is not None else current.get_current_app()
        self.name = name
        self.task = task
        self.args = args
        self.kwargs = kwargs or {}
        self.options = options or {}
        # One that is made to be deleted has none.
        self.schedule: Any = None if schedule is None else maybe_schedule(schedule, relative, app=self.app)
        self.last_run_at = last_run_at or self.default_now()
        self.total_run_count = total_run_count or 0
        run_all_limit(misfire)
        self.misfire = misfire

    def default_now(self) -> datetime:
        """The present time of its schedule."""
        now: datetime = self.schedule.now() if self.schedule else self.app.now()
        return now

    _default_now = default_now

    def is_due(self) -> schedstate:
        """Whether it is due, and in how many seconds to ask again."""
        found: schedstate = self.schedule.is_due(self.last_run_at)
        return found

    def _next_instance(self, last_run_at: datetime | None = None) -> ScheduleEntry:
        """A copy that has run just now; subclasses override it, and name it ``__next__`` and ``next``."""
        fields = {
            **vars(self),
            "last_run_at": last_run_at or self.default_now(),
            "total_run_count": self.total_run_count + 1,
        }
        return type(self)(**fields)

    __next__ = next = _next_instance

    def update(self, other: Any) -> None:
        """Take over what may be edited: task, schedule, arguments and options."""
        for name in self._editable:
            setattr(self, name, getattr(other, name))
        self.misfire = getattr(other, "misfire", self.misfire)

    def editable_fields_equal(self, other: Any) -> bool:
        """Whether nothing that may be edited differs."""
        return all(getattr(self, name) == getattr(other, name) for name in self._editable)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(vars(self).items())

    def __lt__(self, other: object) -> bool:
        # Ends comparisons of heap events whose times are equal; which comes first does not matter.
        return id(self) < id(other) if isinstance(other, ScheduleEntry) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self.editable_fields_equal(other) if isinstance(other, ScheduleEntry) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = [repr(each) for each in self.args or ()] + [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"<{type(self).__name__}: {self.name} {self.task}({', '.join(parts)}) {self.schedule!r}"

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (
            self.name, self.task, self.last_run_at, self.total_run_count, self.schedule, self.args, self.kwargs,
            self.options,
        )  # fmt: skip
        return type(self), fields
