"""`Scheduler`: entries in memory, and the methods that schedulers written for Celery override.

Runs in the thread that calls `Scheduler.tick`.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from celeriac.beat.clock import Clock
from celeriac.beat.entry import ScheduleEntry, evaluated
from celeriac.exceptions import ImproperlyConfigured
from celeriac.schedules import crontab, maybe_schedule, schedstate

if TYPE_CHECKING:
    from celeriac.app.base import Celery

__all__ = ["DEFAULT_MAX_INTERVAL", "Scheduler", "SchedulingError", "event_t"]

logger = logging.getLogger("celeriac.beat")

DEFAULT_MAX_INTERVAL = 300


class SchedulingError(Exception):
    """A periodic task could not be sent."""


class event_t(NamedTuple):  # noqa: N801 - Celery's documented name
    """A place in the heap: when to look at an entry again."""

    time: float
    priority: int
    entry: Any


class Scheduler:
    """Keeps its entries in memory, and sends those that are due.

    A subclass may keep them elsewhere: it overrides `setup_schedule`, `get_schedule` and `sync`, and gives its own
    class of entries in `Entry`.

    Args:
        app: The application.
        schedule: Entries by name.
        max_interval: Seconds between two ticks at most; None is ``beat_max_loop_interval``, or 300.
        Producer: Not used: the app publishes.
        lazy: Leave `setup_schedule` to the caller.
        sync_every_tasks: Call `sync` after so many tasks; None is ``beat_sync_every``.
        clock: The clock.
    """

    Entry: ClassVar[Any] = ScheduleEntry
    max_interval: float = DEFAULT_MAX_INTERVAL
    #: Seconds between two calls of `sync`.
    sync_every: float = 3 * 60
    sync_every_tasks: int | None = None
    logger = logger
    producer: Any = None
    connection: Any = None

    def __init__(
        self,
        app: Celery,
        schedule: Any = None,
        max_interval: float | None = None,
        Producer: Any = None,
        lazy: bool = False,
        sync_every_tasks: int | None = None,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        self.app = app
        self.clock = clock or Clock()
        self.data = {} if schedule is None else schedule
        self.max_interval = max_interval or app.conf.beat_max_loop_interval or self.max_interval
        every = app.conf.beat_sync_every if sync_every_tasks is None else sync_every_tasks
        self.sync_every_tasks = every
        self.old_schedulers: Any = None
        self._heap: list[event_t] | None = None
        self._last_sync: float | None = None
        self._tasks_since_sync = 0
        if not lazy:
            self.setup_schedule()

    # -- the schedule ---------------------------------------------------------------------------------------------

    def setup_schedule(self) -> None:
        """Read the entries; called once."""
        self.install_default_entries(self.data)
        self.merge_inplace(self.app.conf.beat_schedule or {})

    def install_default_entries(self, data: Any) -> None:
        """Add the entry that cleans up results, where results neither expire by themselves nor stay for ever."""
        conf = self.app.conf
        if conf.result_expires and not _expires_by_itself(self.app):
            self.update_from_dict(
                {
                    "celery.backend_cleanup": {
                        "task": "celery.backend_cleanup",
                        "schedule": crontab("0", "4", "*"),
                        "options": {"expires": 12 * 3600},
                    }
                }
            )

    @property
    def schedule(self) -> Any:
        """Entries by name."""
        return self.get_schedule()

    @schedule.setter
    def schedule(self, schedule: Any) -> None:
        self.set_schedule(schedule)

    def get_schedule(self) -> Any:
        """Entries by name."""
        return self.data

    def set_schedule(self, schedule: Any) -> None:
        """Replace the entries."""
        self.data = schedule

    def add(self, **kwargs: Any) -> Any:
        """Add an entry; arguments are those of `Entry`."""
        entry = self.Entry(app=self.app, **kwargs)
        self.schedule[entry.name] = entry
        return entry

    def _maybe_entry(self, name: str, entry: Any) -> Any:
        if isinstance(entry, self.Entry):
            entry.app = self.app
            return entry
        if not isinstance(entry, Mapping):
            raise ImproperlyConfigured(f"The entry {name!r} of beat_schedule has to be a dict, got {entry!r}")
        try:
            made = self.Entry(**{**entry, "name": name, "app": self.app})
            if made.schedule is None:
                maybe_schedule(None)
            return made
        except TypeError as exc:
            reason = str(exc).replace("ScheduleEntry.__init__()", "it")
            raise ImproperlyConfigured(f"The entry {name!r} of beat_schedule cannot be used: {reason}") from exc

    def update_from_dict(self, dict_: Mapping[str, Any]) -> None:
        """Add entries given as in ``beat_schedule``."""
        self.schedule.update({name: self._maybe_entry(name, entry) for name, entry in dict_.items()})

    def merge_inplace(self, b: Mapping[str, Any]) -> None:
        """Make the entries those of ``b``; what is kept keeps when it ran last."""
        schedule = self.schedule
        for name in set(schedule) - set(b) - {"celery.backend_cleanup"}:
            del schedule[name]
        for name, value in b.items():
            entry = self._maybe_entry(name, value)
            if name in schedule:
                schedule[name].update(entry)
            else:
                schedule[name] = entry

    def schedules_equal(self, old_schedules: Any, new_schedules: Any) -> bool:
        """Whether nothing was added, removed or edited."""
        if old_schedules is None or new_schedules is None:
            return old_schedules is new_schedules
        return set(old_schedules) == set(new_schedules) and all(
            new_schedules[name] == old for name, old in old_schedules.items()
        )

    # -- ticking --------------------------------------------------------------------------------------------------

    def adjust(self, n: float, drift: float = -0.010) -> float:
        """Seconds to wait, less what waking up takes."""
        return n + drift if n > 0 else n

    def is_due(self, entry: Any) -> schedstate:
        """Ask an entry; one that cannot answer is asked again after the longest interval."""
        try:
            found: schedstate = entry.is_due()
        except Exception as exc:
            logger.exception("beat: Cannot calculate the next run of %r: %r", entry, exc)
            return schedstate(False, self.max_interval)
        return found

    def _when(self, next_time_to_run: float) -> float:
        return self.clock.time() + self.adjust(next_time_to_run)

    def populate_heap(self, event_t: Any = event_t, heapify: Any = heapq.heapify) -> None:
        """Put every entry in its place."""
        self._heap = []
        for entry in list(self.schedule.values()):
            is_due, wait = self.is_due(entry)
            self._heap.append(event_t(self._when(0 if is_due else wait), 5, entry))
        heapify(self._heap)

    def tick(self) -> float:
        """Send at most one entry that is due.

        Returns:
            Seconds until the next tick.
        """
        schedule = self.schedule
        if self._heap is None or not self.schedules_equal(self.old_schedulers, schedule):
            self.old_schedulers = copy(schedule)
            self.populate_heap()
        heap = self._heap
        if not heap:
            return self.max_interval
        entry = heap[0].entry
        is_due, wait = self.is_due(entry)
        if not is_due:
            if heap[0].time <= self.clock.time():
                heapq.heapreplace(heap, event_t(self._when(wait), 5, entry))
                wait = heap[0].time - self.clock.time()
            return max(0.0, min(self.adjust(wait), self.max_interval))
        heapq.heappop(heap)
        following = self.reserve(entry)
        self.apply_entry(entry, producer=self.producer)
        heapq.heappush(heap, event_t(self._when(wait), 5, following))
        return 0

    def reserve(self, entry: Any) -> Any:
        """Note that an entry runs now; returns what takes its place."""
        new_entry = self.schedule[entry.name] = next(entry)
        if self.old_schedulers is not None:
            self.old_schedulers[entry.name] = new_entry
        return new_entry

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send an entry; whatever goes wrong is logged."""
        logger.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task)
        try:
            result = self.apply_async(entry, producer=producer, advance=False)
        except Exception as exc:
            logger.exception("Message Error: %s", exc)
        else:
            if result is not None and hasattr(result, "id"):
                logger.debug("%s sent. id->%s", entry.task, result.id)
            else:
                logger.debug("%s sent.", entry.task)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Call the task of an entry.

        Args:
            entry: The entry.
            producer: Not used.
            advance: Note that it ran.
            **kwargs: Options over those of the entry.

        Raises:
            SchedulingError: It could not be sent.
        """
        if advance:
            entry = self.reserve(entry)
        try:
            args = [evaluated(each) for each in entry.args or ()]
            named = {name: evaluated(each) for name, each in (entry.kwargs or {}).items()}
            options = {**(entry.options or {}), **kwargs}
            options["headers"] = {**(options.get("headers") or {}), "celery_beat_task": True}
            task = self.app.tasks.get(entry.task)
            if task is not None:
                return task.apply_async(args, named, **options)
            return self.send_task(entry.task, args, named, **options)
        except Exception as exc:
            raise SchedulingError(f"Couldn't apply scheduled task {entry.name}: {exc}") from exc
        finally:
            self._tasks_since_sync += 1
            if self.should_sync():
                self._do_sync()

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        """Call a task that is not registered here."""
        return self.app.send_task(*args, **kwargs)

    # -- keeping --------------------------------------------------------------------------------------------------

    def should_sync(self) -> bool:
        """Whether it is time for `sync`."""
        last = self._last_sync
        return (
            last is None
            or self.clock.monotonic() - last > self.sync_every
            or bool(self.sync_every_tasks and self._tasks_since_sync >= self.sync_every_tasks)
        )

    def _do_sync(self) -> None:
        logger.debug("beat: Synchronizing schedule...")
        try:
            self.sync()
        finally:
            self._last_sync = self.clock.monotonic()
            self._tasks_since_sync = 0

    def sync(self) -> None:
        """Write down what would be lost; for subclasses."""

    def close(self) -> None:
        """Called once at the end."""
        self.sync()

    @property
    def info(self) -> str:
        """A line of the banner."""
        return ""


def _expires_by_itself(app: Celery) -> bool:
    capabilities = app.backend.capabilities
    return not capabilities.enabled or capabilities.expires
