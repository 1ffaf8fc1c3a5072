"""`Service`: ticks until it is told to stop.  Runs in the main thread of ``celeriac beat``."""

from __future__ import annotations

import logging
import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from celeriac import signals
from celeriac.beat.clock import Clock
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.imports import symbol_by_name
from celeriac.utils.nodenames import default_nodename
from celeriac.utils.time import humanize_seconds

if TYPE_CHECKING:
    from celeriac.app.base import Celery
    from celeriac.beat.mailbox import BeatMailbox
    from celeriac.beat.scheduler import Scheduler

__all__ = ["EmbeddedService", "Service"]

logger = logging.getLogger("celeriac.beat")

#: Seconds that a tick may be late at least; then, as many times its longest interval.
_LEAST_AGE, _INTERVALS = 60.0, 2
#: Seconds to wait for the end of remote control.
_LEAVING = 5.0

#: Entry points of further schedulers, by name.
GROUPS = ("celery.beat_schedulers", "celeriac.beat_schedulers")
#: Where Celery's own schedulers are here.
_ALIASES = {
    "celery.beat:PersistentScheduler": "celeriac.beat:PersistentScheduler",
    "celery.beat.PersistentScheduler": "celeriac.beat:PersistentScheduler",
    "celery.beat:Scheduler": "celeriac.beat:Scheduler",
    "celery.beat.Scheduler": "celeriac.beat:Scheduler",
}


class Service:
    """Beat.

    Args:
        app: The application.
        max_interval: Seconds between two ticks at most; None is ``beat_max_loop_interval``.
        schedule_filename: Path or URL of the schedule store; None is the setting.
        scheduler_cls: Class of the scheduler, its dotted path, or the name of an entry point of the group
            ``celery.beat_schedulers``; None is ``beat_scheduler``.
        remote_control: Answer ``ping``; None is ``beat_enable_remote_control``.
        hostname: Name of the node, for that; None is ``celerybeat@<host>``.
        clock: The clock.

    Attributes:
        ticked_at: Monotonic time of the last tick that did not fail; read by other threads.
        failed_ticks: Ticks that failed; read by other threads.
    """

    def __init__(
        self,
        app: Celery,
        max_interval: float | None = None,
        schedule_filename: str | None = None,
        scheduler_cls: Any = None,
        remote_control: bool | None = None,
        hostname: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.app = app
        self.remote_control = bool(app.conf.beat_enable_remote_control if remote_control is None else remote_control)
        self.hostname = hostname or default_nodename(None, "celerybeat")
        self.clock = clock or Clock()
        # Schedulers of others need not know of clocks.
        self._extra = {} if clock is None else {"clock": clock}
        self.max_interval = max_interval or app.conf.beat_max_loop_interval or None
        self.schedule_filename = schedule_filename
        self.scheduler_cls = scheduler_cls or app.conf.beat_scheduler
        self._scheduler: Scheduler | None = None
        self.ticked_at = self.clock.monotonic()
        self.failed_ticks = 0
        self._is_shutdown = threading.Event()
        self._is_stopped = threading.Event()

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler, made at the first use."""
        if self._scheduler is None:
            self._scheduler = self.get_scheduler()
        return self._scheduler

    def get_scheduler(self, lazy: bool = False) -> Scheduler:
        """Make the scheduler.

        Args:
            lazy: Do not read its entries yet.

        Raises:
            ImproperlyConfigured: There is no such class.
        """
        made: Scheduler = self.find_class()(
            app=self.app,
            schedule_filename=self.schedule_filename,
            max_interval=self.max_interval,
            lazy=lazy,
            **self._extra,
        )
        return made

    def find_class(self) -> Any:
        """The class of the scheduler.

        Raises:
            ImproperlyConfigured: There is none of this name.
        """
        name = self.scheduler_cls
        aliases = dict(_ALIASES)
        if isinstance(name, str) and not {".", ":"} & set(name):
            for group in GROUPS:
                aliases.update((each.name, each.value) for each in entry_points(group=group))
        try:
            return symbol_by_name(name, aliases)
        except (ImportError, AttributeError) as exc:
            raise ImproperlyConfigured(
                f"the scheduler {name!r} cannot be imported ({exc}): give beat_scheduler, or -S, a class as "
                "module:Class"
            ) from exc

    def start(self, embedded_process: bool = False) -> None:
        """Tick until `stop`.

        Args:
            embedded_process: It runs within a worker.
        """
        logger.info("beat: Starting...")
        try:
            scheduler = self.scheduler
            logger.debug("beat: Ticking with max interval->%s", humanize_seconds(scheduler.max_interval))
            signals.beat_init.send(sender=self)
            if embedded_process:
                signals.beat_embedded_init.send(sender=self)
            mailbox = self._listen() if self.remote_control and not embedded_process else None
            try:
                self._run(scheduler)
            finally:
                if mailbox is not None:
                    mailbox.stop()
                    mailbox.join(_LEAVING)
        finally:
            self._is_stopped.set()
            if self._scheduler is not None:
                self.sync()

    def _listen(self) -> BeatMailbox | None:
        """Begin to hear commands."""
        if not self.app.broker_for_read.capabilities.fanout:
            logger.warning(
                "beat: Remote control is off (beat_enable_remote_control): the broker %s has no fanout exchanges",
                self.app.broker_for_read.url,
            )
            return None
        from celeriac.beat.mailbox import BeatMailbox

        mailbox = BeatMailbox(self, self.hostname)
        mailbox.start()
        return mailbox

    def late_by(self) -> float | None:
        """Seconds since the last tick when there has been none for too long; else None."""
        limit: float | None = self.app.conf.beat_remote_control_max_tick_age
        if limit is None:
            limit = max(_LEAST_AGE, _INTERVALS * self.scheduler.max_interval)
        age = self.clock.monotonic() - self.ticked_at
        return age if limit and age > limit else None

    def _run(self, scheduler: Scheduler) -> None:
        while not self._is_shutdown.is_set():
            wait = self._tick(scheduler)
            if wait and wait > 0:
                logger.debug("beat: Waking up %s.", humanize_seconds(wait, prefix="in", sep=" ", microseconds=True))
                self.clock.wait(self._is_shutdown, wait)
                should_sync = getattr(scheduler, "should_sync", None)
                if should_sync is not None and should_sync():
                    scheduler._do_sync()

    def _tick(self, scheduler: Scheduler) -> float:
        """One tick. Beat goes on whatever happens in it: silence would be worse."""
        try:
            wait = scheduler.tick()
        except Exception:
            self.failed_ticks += 1
            logger.critical("beat: A tick failed, trying again in 1 s", exc_info=True)
            return 1.0
        self.ticked_at = self.clock.monotonic()
        return wait

    def sync(self) -> None:
        """Write down what would be lost, and close."""
        if self._scheduler is not None:
            self._scheduler.close()

    def stop(self, wait: bool = False) -> None:
        """Stop.

        Args:
            wait: Return when it has stopped.
        """
        logger.info("beat: Shutting down...")
        self._is_shutdown.set()
        if wait:
            self._is_stopped.wait()


def EmbeddedService(app: Celery, max_interval: float | None = None, **kwargs: Any) -> _EmbeddedThread:  # noqa: N802
    """Beat within a worker: a thread with ``start`` and ``stop``.

    Args:
        app: The application.
        max_interval: Seconds between two ticks at most; None is 1.
        **kwargs: As for `Service`.
    """
    kwargs.pop("thread", None)
    return _EmbeddedThread(Service(app, max_interval=max_interval or 1, **kwargs))


class _EmbeddedThread(threading.Thread):
    """Runs a service.

    Args:
        service: The service.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(name="Beat", daemon=True)
        self.service = service

    def run(self) -> None:
        """Tick."""
        self.service.start(embedded_process=True)

    def stop(self) -> None:
        """Stop, and wait for it."""
        self.service.stop(wait=self.is_alive())
