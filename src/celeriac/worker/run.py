"""Runs a worker whose spawner has been started: pool, coordinator, signals.  Runs in the main thread of the worker.

Only `worker.assembly` imports it, after the fork, so that asyncio is loaded in this one process.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celeriac.events.publisher import EventPublisher
from celeriac.exceptions import WorkerShutdown
from celeriac.platform import signals as os_signals
from celeriac.pool.custom import make_pool
from celeriac.pool.local import LocalPool
from celeriac.pool.process import ProcessPool
from celeriac.utils.imports import symbol_by_name
from celeriac.worker.autoscale import Autoscaler
from celeriac.worker.broker_thread import BrokerThread, ConnectionPolicy
from celeriac.worker.commands.panel import Panel
from celeriac.worker.coordinator import Coordinator, CoordinatorOptions
from celeriac.worker.failures import FailureReporter
from celeriac.worker.intake import Intake
from celeriac.worker.mailbox import WorkerMailbox
from celeriac.worker.reporting import EventReporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from socket import socket

    from celeriac.broker.topology import Queue
    from celeriac.pool.base import Pool
    from celeriac.worker.assembly import Worker
    from celeriac.worker.commands.state import WorkerParts
    from celeriac.worker.status import WorkerStatus

logger = logging.getLogger("celeriac.worker")


def run(worker: Worker, queues: Sequence[Queue], spawner: tuple[int, socket] | None) -> int:
    """Run until stopped.

    Args:
        worker: The worker, prepared.
        queues: Queues to consume.
        spawner: Pid and control socket of the spawner; None runs tasks in the main thread.

    Returns:
        Exit status of the process.
    """
    if worker.custom_pool is not None:
        pool = make_pool(worker.custom_pool, worker.app, worker.hostname, worker.concurrency)
        worker.coordinator = _coordinator(worker, pool, queues)
        return asyncio.run(_run_main(worker.coordinator))
    if spawner is None:
        local = LocalPool(worker.app, worker.hostname)
        worker.coordinator = _coordinator(worker, local, queues)
        with _state_kept(worker, worker.coordinator):
            return _run_beside(worker.coordinator, local)
    worker.coordinator = _coordinator(worker, _process_pool(worker, spawner), queues)
    # The coordinator makes no cycles while it works, and thousands of short-lived objects a second.
    gc.set_threshold(50_000, 20, 20)
    with _state_kept(worker, worker.coordinator):
        return asyncio.run(_run_main(worker.coordinator))


@contextmanager
def _state_kept(worker: Worker, coordinator: Coordinator) -> Iterator[None]:
    """Read the state file first, and write it in the end, where there is one."""
    path = worker.state_path()
    if path is None:
        yield
        return
    from celeriac.worker.state_file import StateFile

    state = StateFile(path, coordinator.revoked, worker.app.clock)
    state.load()
    worker.statedb = state
    try:
        yield
    finally:
        state.save()


def _process_pool(worker: Worker, spawner: tuple[int, socket]) -> ProcessPool:
    conf, options = worker.app.conf, worker.options
    pid, control = spawner
    capacity = worker.slot_capacity
    return ProcessPool(
        worker.pool_name,
        -(-worker.concurrency // capacity),
        runner=worker.runner,
        capacity=capacity,
        spawner_pid=pid,
        control=control,
        max_jobs=options.max_tasks_per_child or conf.worker_max_tasks_per_child,
        max_memory=options.max_memory_per_child or conf.worker_max_memory_per_child,
        spawned=worker.starts_afresh,
        start_timeout=conf.worker_proc_alive_timeout,
    )


def _coordinator(worker: Worker, pool: Pool, queues: Sequence[Queue]) -> Coordinator:
    app, conf, options = worker.app, worker.app.conf, worker.options
    broker = app.broker_for_read
    # One message for each slot is claimed only when the slot is free: that is no prefetching.
    multiplier = 1 if conf.worker_disable_prefetch else options.prefetch_multiplier
    explicit = multiplier is not None or conf.value_set_for("worker_prefetch_multiplier")
    on_startup = conf.broker_connection_retry_on_startup
    on_startup = conf.broker_connection_retry if on_startup is None else on_startup
    policy = ConnectionPolicy(
        retry=conf.broker_connection_retry,
        retry_on_startup=on_startup and worker.waits_for_broker,
        max_retries=conf.broker_connection_max_retries or None,
        heartbeat=conf.broker_lease / 3,
    )
    if not broker.capabilities.fanout:
        logger.warning(
            "The %s broker has no fanout: there is no remote control of this worker, no revoking, and no events",
            broker.capabilities.name,
        )
    return Coordinator(
        CoordinatorOptions(
            hostname=worker.hostname,
            prefetch_multiplier=conf.worker_prefetch_multiplier if multiplier is None else multiplier,
            adaptive_prefetch=bool(conf.worker_adaptive_prefetch) and not explicit and not conf.celery_defaults,
            prefetch_max_bytes=conf.worker_prefetch_max_bytes,
            grace=conf.worker_shutdown_grace,
            soft_shutdown_timeout=conf.worker_soft_shutdown_timeout,
            soft_shutdown_on_idle=conf.worker_enable_soft_shutdown_on_idle,
            chord_interval=conf.broker_sweep_interval,
            cancel_on_connection_loss=bool(conf.worker_cancel_long_running_tasks_on_connection_loss),
            max_tasks_per_child=options.max_tasks_per_child or conf.worker_max_tasks_per_child,
            make_autoscaler=_autoscaler(worker),
        ),
        pool,
        Intake(
            app,
            delay_resolution=broker.capabilities.delay_resolution,
            time_limit=options.time_limit or conf.task_time_limit,
            soft_time_limit=options.soft_time_limit or conf.task_soft_time_limit,
            rate_limits=not conf.worker_disable_rate_limits,
            deduplicate=bool(conf.worker_deduplicate_successful_tasks),
        ),
        lambda listener, loop: BrokerThread(broker, queues, listener, loop, policy),
        lambda loop: FailureReporter(app, worker.hostname, loop),
        EventReporter(worker.event_options(), EventPublisher(app, worker.hostname), app.clock),
        _status(worker),
        worker.announce_ready,
        functools.partial(_mailbox, worker) if worker.hears_commands else None,
        worker.step_thread,
        _mingle(worker),
    )


def _mingle(worker: Worker) -> Callable[[dict[str, float]], list[str]] | None:
    if not worker.mingles:
        return None
    # Other workers do without it.
    from celeriac.worker.mingle import mingle

    return functools.partial(mingle, worker.app, worker.hostname)


def _autoscaler(worker: Worker) -> Callable[[Pool, Callable[[], int]], Autoscaler] | None:
    """Makes the autoscaler of a worker that has bounds."""
    if worker.autoscale is None:
        return None
    high, low = worker.autoscale
    conf = worker.app.conf
    cls: Any = symbol_by_name(conf.worker_autoscaler) if conf.value_set_for("worker_autoscaler") else Autoscaler
    return lambda pool, reserved: cls(pool, high, low, reserved=reserved)


def _mailbox(worker: Worker, parts: WorkerParts, on_tried: Callable[[], None]) -> WorkerMailbox:
    panel = Panel(worker.app, worker.hostname, parts, worker.step_info)
    return WorkerMailbox(worker.app, worker.hostname, parts.loop, panel.carry_out, on_tried)


def _status(worker: Worker) -> WorkerStatus | None:
    """The HTTP port, which listens from now on."""
    address = worker.options.http_address or worker.app.conf.worker_http_address
    if not address:
        return None
    # Only a worker with a port loads http.server.
    from celeriac.worker.status import WorkerStatus

    return WorkerStatus(str(address), worker.hostname, worker.app.broker_for_read)


async def _run_main(coordinator: Coordinator) -> int:
    """Coordinator in the thread that started the worker: the main one, unless the worker is a guest in a process."""
    if threading.current_thread() is not threading.main_thread():
        return await coordinator.run()
    before = os_signals.install(asyncio.get_running_loop(), coordinator.request_stop)
    try:
        return await coordinator.run()
    finally:
        os_signals.restore(before)


def _run_beside(coordinator: Coordinator, pool: LocalPool) -> int:
    """Coordinator in a side thread, tasks in the main thread."""
    loop = asyncio.new_event_loop()
    outcome: list[int] = []

    def side() -> None:
        try:
            outcome.append(loop.run_until_complete(coordinator.run()))
        except BaseException:
            logger.critical("The coordinator died of an internal error", exc_info=True)
            outcome.append(1)
        finally:
            pool.close()
            loop.run_until_complete(loop.shutdown_default_executor())

    thread = threading.Thread(target=side, name="coordinator", daemon=True)
    in_main = threading.current_thread() is threading.main_thread()
    before = os_signals.install(loop, coordinator.request_stop) if in_main else {}
    thread.start()
    try:
        pool.run()
    except (SystemExit, KeyboardInterrupt) as exc:
        raise WorkerShutdown(exc.code if isinstance(exc, SystemExit) else 1) from exc
    finally:
        thread.join()
        if in_main:
            os_signals.restore(before)
        loop.close()
    sys.stdout.flush()
    return outcome[0]
