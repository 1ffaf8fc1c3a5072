"""Puts a worker together, by hand and in order.  Runs in the main thread of the worker's process.

The order matters: the spawner is started after the app is complete (children that are forked inherit what
``worker_init`` did) and before the first thread starts.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from celeriac import signals
from celeriac._version import __version__
from celeriac.app.builtins import BUILT_IN
from celeriac.app.queues import worker_direct
from celeriac.exceptions import ImproperlyConfigured
from celeriac.log import setup_logging
from celeriac.pool.custom import find_pool, is_custom
from celeriac.pool.runners.base import GREENLETS
from celeriac.pool.spawner import fork_spawner
from celeriac.utils.dataclass import dataclass, field
from celeriac.utils.nodenames import default_nodename, host_format, node_format
from celeriac.worker.autoscale import parse_autoscale
from celeriac.worker.banner import render_banner
from celeriac.worker.checks import check_settings
from celeriac.worker.reporting import EventOptions
from celeriac.worker.unsupported import warn_of_unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

    from celeriac.app.base import Celery
    from celeriac.worker.bootsteps import StepThread
    from celeriac.worker.coordinator import Coordinator

logger = logging.getLogger("celeriac.worker")

#: Pools, and how their children run jobs; solo is a child to itself.
RUNNERS = {
    "prefork": "serial", "threads": "threads", "asyncio": "coroutines", "gevent": "gevent", "eventlet": "eventlet",
    "solo": "serial",
}  # fmt: skip
#: Their names, and Celery's other name for the first.
POOLS = (*RUNNERS, "processes")
#: Seconds between two heartbeat events, and what they are in Celery.
HEARTBEAT, CELERY_HEARTBEAT = 10.0, 2.0


@dataclass
class WorkerOptions:
    """Options of one worker; None takes the setting.

    Attributes:
        hostname: Node name; ``%h`` and the like are expanded.
        concurrency: Tasks at once; None is ``worker_concurrency`` or the number of CPUs.
        autoscale: Most and least tasks at once, as ``10,2`` or a pair: the pool grows and shrinks between them.
        pool: A class path, ``custom``, ``prefork``, ``threads``, ``asyncio``, ``gevent``, ``eventlet`` or ``solo``.
        loglevel: Level, by number or name.
        logfile: Path; None is stderr.
        statedb: Path of the state file; None is ``worker_state_db``, or no file.
        queues: Names of the queues to consume; None is all of ``task_queues``.
        exclude_queues: Queues not to consume.
        include: Modules to import.
        prefetch_multiplier: ``worker_prefetch_multiplier``.
        time_limit: Hard limit in seconds.
        soft_time_limit: Soft limit in seconds.
        max_tasks_per_child: Tasks after which a child is replaced.
        max_memory_per_child: Resident KiB after which a child is replaced.
        task_events: Send events about tasks; None is ``worker_send_task_events``.
        heartbeat_interval: Seconds between two heartbeat events; None is 10, or 2 with ``celery_defaults``.
        without_heartbeat: Send no heartbeat events, nor that the worker comes and goes.
        mingle: ``worker_mingle``.
        http_address: ``worker_http_address``.
        purge: Empty the queues before consuming.
        beat: Send periodic tasks too, in a thread of the worker.
        schedule_filename: Where their schedule is kept; None is ``beat_schedule_filename``.
        scheduler: Class of the scheduler; None is ``beat_scheduler``.
        quiet: Print no banner.
        no_color: Never colour.
        user: Options that the application added (``app.user_options["worker"]``), for its steps.
    """

    hostname: str | None = None
    concurrency: int | None = None
    autoscale: Any = None
    pool: str | None = None
    loglevel: int | str = logging.WARNING
    logfile: str | None = None
    statedb: str | None = None
    queues: Sequence[str] | None = None
    exclude_queues: Sequence[str] | None = None
    include: Sequence[str] | None = None
    prefetch_multiplier: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    task_events: bool | None = None
    heartbeat_interval: float | None = None
    without_heartbeat: bool = False
    mingle: bool | None = None
    http_address: str | None = None
    purge: bool = False
    beat: bool = False
    schedule_filename: str | None = None
    scheduler: Any = None
    quiet: bool = False
    no_color: bool = False
    user: dict[str, Any] = field(default_factory=dict)


class Worker:
    """A worker: `start` blocks until it is stopped.

    Args:
        app: The application.
        options: Options; None takes every setting.

    Attributes:
        waits_for_broker: It may start before its broker does.
    """

    waits_for_broker = True

    def __init__(self, app: Celery, options: WorkerOptions | None = None) -> None:
        self.app = app
        self.options = options or WorkerOptions()
        self.hostname = host_format(default_nodename(self.options.hostname))
        #: Makes the pool, when it is none of ours.
        self.custom_pool: Any = None
        self.pool_name = self._choose_pool()
        self.autoscale = None if not self.options.autoscale else parse_autoscale(self.options.autoscale)
        self.concurrency = self._choose_concurrency()
        self.coordinator: Coordinator | None = None
        #: Runs the steps of users, if there are any; what follows is for them.
        self.step_thread: StepThread | None = None
        self.blueprint: Any = None
        self.steps: list[Any] = []
        self.timer: Any = None
        self.hub: Any = None
        self.pool: Any = None
        self.consumer: Any = None
        self.autoscaler: Any = None
        self.statedb: Any = None
        self.embedded_beat: Any = None
        # Run in children that are no forks.
        self._before_child: Callable[[], None] | None = None
        if self.options.beat:
            self.embedded_beat = app.embedded_beat(self.options.schedule_filename, self.options.scheduler)

    def _choose_pool(self) -> str:
        name = self.options.pool or self.app.conf.worker_pool or "prefork"
        if name in GREENLETS:
            # Other workers do without it.
            from celeriac.pool.fresh import check_library

            check_library(name)
        elif name not in POOLS and is_custom(name):
            self.custom_pool = find_pool(name)
        elif name not in POOLS:
            raise ImproperlyConfigured(f"worker_pool is {name!r}; known are {', '.join(POOLS)}")
        return "prefork" if name == "processes" else name

    def _choose_concurrency(self) -> int:
        if self.pool_name == "solo":
            if self.autoscale is not None:
                raise ImproperlyConfigured("the solo pool runs one task at a time: autoscale needs another pool")
            return 1
        if self.autoscale is not None:
            return max(1, self.autoscale[1])
        wanted: Any = self.options.concurrency or self.app.conf.worker_concurrency
        if wanted in (None, 0, "auto"):
            return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        try:
            return int(wanted)
        except ValueError:
            raise ImproperlyConfigured(
                f"worker_concurrency is {wanted!r}: give a number of tasks to run at once, or 'auto'"
            ) from None

    @property
    def runner(self) -> str:
        """How its children run jobs."""
        return RUNNERS.get(self.pool_name, "")

    @property
    def slot_capacity(self) -> int:
        """Jobs that run in one child at once."""
        return 1 if self.runner == "serial" else self.concurrency

    def event_options(self) -> EventOptions:
        """Which events it sends."""
        conf, options = self.app.conf, self.options
        interval = options.heartbeat_interval
        if interval is None:
            interval = CELERY_HEARTBEAT if conf.celery_defaults else HEARTBEAT
        given = options.task_events
        possible = self.app.broker_for_read.capabilities.fanout
        return EventOptions(
            self.hostname,
            task_events=possible and (bool(conf.worker_send_task_events) if given is None else given),
            heartbeat_interval=0.0 if options.without_heartbeat or not possible else interval,
        )

    def _events_text(self) -> str:
        capabilities = self.app.broker_for_read.capabilities
        if not capabilities.fanout:
            return f"OFF (the {capabilities.name} broker cannot carry them)"
        return "ON" if self.event_options().task_events else "OFF (enable -E to monitor tasks in this worker)"

    @property
    def hears_commands(self) -> bool:
        """Whether there is remote control: nobody turned it off, and the broker can do it."""
        return self.app.conf.worker_enable_remote_control and self.app.broker_for_read.capabilities.fanout

    @property
    def mingles(self) -> bool:
        """It asks other workers at the start; somebody wants that, and the broker can do it."""
        given = self.options.mingle
        wanted = self.app.conf.worker_mingle if given is None else given
        return bool(wanted) and self.app.broker_for_read.capabilities.fanout

    # -- start --------------------------------------------------------------------------------------------------

    def start(self) -> int:
        """Run until stopped.

        Returns:
            Exit status of the process.

        Raises:
            ImproperlyConfigured: Settings or options cannot be used.
        """
        self._prepare()
        signals.celeryd_init.send(sender=self.hostname, instance=self, conf=self.app.conf, options=self.options)
        self._import_tasks()
        self._select_queues()
        self.set_up_logging()
        signals.celeryd_after_setup.send(sender=self.hostname, instance=self, conf=self.app.conf)
        # Receivers of that signal may have added some.
        queues = self._queues()
        self._say_hello(queues)
        self._check_limits()
        check_settings(self.app)
        warn_of_unsupported(self.app.conf)
        if self.options.purge:
            self._purge(queues)
        signals.worker_init.send(sender=self)
        self._install_steps()
        spawner = self._start_spawner()
        # Not earlier: asyncio and its OpenSSL are 5 MB in each process forked after they are loaded.
        from celeriac.worker.run import run

        try:
            return run(self, queues, spawner)
        finally:
            if self.embedded_beat is not None and self.embedded_beat.ident is not None:
                self.embedded_beat.stop()
            signals.worker_shutdown.send(sender=self)

    @property
    def is_hung_up(self) -> bool:
        """A SIGHUP ended it: a worker without a terminal is started anew then."""
        return self.coordinator is not None and self.coordinator.is_hung_up

    def stop(self, exitcode: int | None = None, in_sighandler: bool = False) -> None:
        """Have `start` finish what runs, and return. Safe from any thread; without effect before it works.

        Args:
            exitcode: What `start` is to return; None leaves it as it is.
            in_sighandler: Accepted for the signature's sake.
        """
        if self.coordinator is not None and self.coordinator.started:
            self.coordinator.stop_soon(exitcode)

    def terminate(self, in_sighandler: bool = False) -> None:
        """As `stop`, and what runs is ended."""
        if self.coordinator is not None and self.coordinator.started:
            self.coordinator.stop_soon(1, now=True)

    def set_up_logging(self) -> None:
        """Configure logging."""
        if self.app.has_own_logging:
            self.app.log.setup(**self._log_arguments(), hostname=self.hostname)
        else:
            setup_logging(self.app, **self._log_arguments())

    def _log_arguments(self) -> dict[str, Any]:
        return {
            "loglevel": self.options.loglevel,
            "logfile": self._expand(self.options.logfile),
            "colorize": False if self.options.no_color else None,
        }

    def _prepare(self) -> None:
        self.app.finalize()
        self.app.set_current()
        if os.environ.get("CELERIAC_CRASH_AT"):
            # A means of tests, which no other worker loads.
            from celeriac.worker.failpoints import install_from_environment

            install_from_environment()
            self._before_child = install_from_environment

    def _import_tasks(self) -> None:
        if self.options.include:
            self.app.conf.include = (*self.app.conf.include, *self.options.include)
        try:
            self.app.import_default_modules()
        except Exception as exc:
            raise ImproperlyConfigured(f"Importing task modules failed: {type(exc).__name__}: {exc}") from exc

    def _select_queues(self) -> None:
        known = self.app.queues
        known.select(self.options.queues)
        if self.options.exclude_queues:
            known.deselect(self.options.exclude_queues)
        if self.app.conf.worker_direct:
            known.select_add(worker_direct(self.hostname))

    def _queues(self) -> list[Any]:
        queues = list(self.app.queues.consume_from.values())
        if not queues:
            raise ImproperlyConfigured(
                "there is no queue to consume: -X excludes every queue that -Q and task_queues name"
            )
        return queues

    def state_path(self) -> str | None:
        """Path of the state file, if there is to be one."""
        return self._expand(self.options.statedb or self.app.conf.worker_state_db)

    def _expand(self, path: str | None) -> str | None:
        return node_format(path, self.hostname, i=0, I="") if path else None

    def _check_limits(self) -> None:
        """Say which limits the chosen pool cannot enforce; none is ignored silently."""
        conf, options = self.app.conf, self.options
        hard = options.time_limit or conf.task_time_limit
        soft = options.soft_time_limit or conf.task_soft_time_limit
        if hard and self.pool_name == "solo":
            logger.warning("The solo pool cannot enforce hard time limits: tasks run in the worker's own main thread")
        if soft and self.pool_name == "threads":
            logger.warning(
                "The threads pool raises soft time limits when the task next runs Python code: "
                "a call that blocks outside of it, such as reading a socket, ends first"
            )

    def _purge(self, queues: list[Any]) -> None:
        session = self.app.broker_for_read.connect()
        try:
            count = sum(session.purge(queue.name) for queue in queues)
        finally:
            session.close()
        print(f"purge: Erased {count} messages from the queue.\n", flush=True)  # noqa: T201

    def _say_hello(self, queues: list[Any]) -> None:
        if self.options.quiet:
            return
        given = self.options.loglevel
        level = logging.getLevelName(given) if isinstance(given, int) else given.upper()
        names = [name for name in self.app.tasks if not name.startswith(BUILT_IN) or level == "DEBUG"]
        size = str(self.concurrency)
        if self.autoscale is not None:
            size = f"{{min={self.autoscale[1]}, max={self.autoscale[0]}}}"
        pool = f"{size} ({self.pool_name})"
        print(  # noqa: T201 - the banner goes to stdout
            render_banner(
                hostname=self.hostname,
                version=__version__,
                app=f"{self.app.main or '__main__'}:{id(self.app):#x}",
                transport=self.app.broker_for_read.url,
                results=self.app.backend.url,
                concurrency=pool,
                events=self._events_text(),
                queues=queues,
                tasks=names if level in ("INFO", "DEBUG") else (),
            ),
            flush=True,
        )

    # -- run ----------------------------------------------------------------------------------------------------

    def announce_ready(self) -> None:
        """Say that tasks are consumed. Called by the coordinator."""
        logger.info("%s ready.", self.hostname)
        signals.worker_ready.send(sender=self)
        if self.embedded_beat is not None:
            self.embedded_beat.start()

    def step_options(self) -> dict[str, Any]:
        """What the constructors of steps get: its options, and those that the application added."""
        own: dict[str, Any] = {
            name: getattr(self.options, name) for name in WorkerOptions.__match_args__ if name != "user"
        }
        return {**own, "concurrency": self.concurrency, "hostname": self.hostname, **self.options.user}

    def step_info(self) -> dict[str, Any]:
        """What the steps of users tell of themselves, for ``inspect stats``."""
        found: dict[str, Any] = {}
        for each in (self, self.consumer):
            if each is not None and each.blueprint is not None:
                found.update(each.blueprint.info(each))
        return found

    def _install_steps(self) -> None:
        """Create the steps that users added."""
        steps = self.app.steps
        if steps.get("worker") or steps.get("consumer") or self.app.conf.worker_agent:
            # Workers without steps need none of it.
            from celeriac.worker.bootsteps import install

            install(self)

    @property
    def starts_afresh(self) -> bool:
        """Its children are interpreters of their own, and no forks."""
        return self.runner in GREENLETS or self.app.conf.worker_pool_start_method == "spawn"

    def _start_spawner(self) -> tuple[int, socket] | None:
        """The spawner's pid and its control socket; None for a pool without child processes."""
        if self.pool_name == "solo" or self.custom_pool is not None:
            return None
        conf = self.app.conf
        options = {
            "runner": self.runner,
            "capacity": self.slot_capacity,
            "report_memory": bool(self.options.max_memory_per_child or conf.worker_max_memory_per_child),
            "redirect_level": conf.worker_redirect_stdouts_level if conf.worker_redirect_stdouts else None,
            "spawned": self.starts_afresh,
        }
        if not self.starts_afresh:
            return fork_spawner(self.app, self.hostname, options)
        # Other workers do without them.
        from celeriac.pool.fresh import start_spawner
        from celeriac.pool.recipe import describe

        library = self.runner if self.runner in GREENLETS else ""
        why = f"the pool {library!r}" if library else "worker_pool_start_method 'spawn'"
        recipe = describe(self.app, why, self._log_arguments())
        return start_spawner(recipe, self.hostname, options, library, self._before_child)
