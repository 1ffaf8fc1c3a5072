"""Settings that a worker cannot honour yet: set explicitly, each is named in a warning instead of being ignored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.config import Settings
from celeriac import unbuilt

logger = logging.getLogger("celeriac.worker")

#: Setting, and why nothing depends on it here.
WITHOUT_EFFECT: Final = {
    "broker_pool_limit": "each thread has one session of its own",
    "worker_detect_quorum_queues": "prefetch is set for each consumer, which quorum queues accept",
    "worker_enable_prefetch_count_reduction": "running tasks count towards the prefetch limit at all times",
    "worker_eta_task_limit": "delayed tasks are kept by the broker",
    "worker_lost_wait": "a lost child is known at once",
    "worker_pool_putlocks": "a slot is given work only when it has room",
    "worker_timer_precision": "timers wake the worker when they are due",
}


def warn_of_unsupported(conf: Settings, tasks: Iterable[Any] = ()) -> list[str]:
    """Log a warning for each setting, or attribute of a task, that is set and cannot be honoured.

    Args:
        conf: The app's settings.
        tasks: The app's tasks.

    Returns:
        The names of the settings.
    """
    found = []
    for name, what in unbuilt.SETTINGS.items():
        if conf.value_set_for(name) and conf[name]:
            logger.warning("The setting %s=%r is not honoured: %s is not built yet", name, conf[name], what)
            found.append(name)
    for name, why in WITHOUT_EFFECT.items():
        if conf.value_set_for(name):
            logger.info("The setting %s has no effect: %s", name, why)
    if "task_retry_on_worker_lost" not in found:
        for task in tasks:
            if task.plan.retry_on_worker_lost:
                what = unbuilt.SETTINGS["task_retry_on_worker_lost"]
                logger.warning("retry_on_worker_lost of task %s is not honoured: %s is not built yet", task.name, what)
    return found
