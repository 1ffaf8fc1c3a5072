"""Settings that a worker cannot honour: set explicitly, each is named in a warning instead of being ignored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from celeriac.config import Settings

logger = logging.getLogger("celeriac.worker")

#: Setting, and what there is instead of what it names.
REPLACED: Final = {
    "worker_consumer": "no class replaces the consumer; add steps to it: celeriac.bootsteps.ConsumerStep",
    "worker_timer": "the worker's loop keeps the time; steps have worker.timer",
}

#: Setting, and why nothing depends on it here.
WITHOUT_EFFECT: Final = {
    **dict.fromkeys(
        (
            "azureblockblob_retry_initial_backoff_sec",
            "azureblockblob_retry_increment_base",
            "azureblockblob_retry_max_attempts",
        ),
        "workers repeat what failed, and clients do with result_backend_always_retry",
    ),
    "broker_pool_limit": "each thread has one session of its own; it bounds app.pool and app.producer_pool",
    "database_create_tables_at_setup": "missing tables are made when the backend is first used",
    "firestore_project": "chords are counted in the bucket",
    "redis_backend_health_check_interval": "a connection that was lost is replaced when it is used",
    "redis_retry_on_timeout": "what may be repeated is; the rest is an error",
    "result_backend_thread_safe": "threads share a result backend",
    "result_cache_max": "each result object keeps what is final, and nothing else does",
    "result_exchange": "replies of rpc:// go straight to the queue of the client",
    "result_exchange_type": "replies of rpc:// go straight to the queue of the client",
    "worker_detect_quorum_queues": "prefetch is set for each consumer, which quorum queues accept",
    "worker_enable_prefetch_count_reduction": "running tasks count towards the prefetch limit at all times",
    "worker_eta_task_limit": "delayed tasks are kept by the broker",
    "worker_lost_wait": "a lost child is known at once",
    "worker_pool_putlocks": "a slot is given work only when it has room",
    "worker_timer_precision": "timers wake the worker when they are due",
}


def warn_of_unsupported(conf: Settings) -> list[str]:
    """Log a warning for each setting that is set and cannot be honoured.

    Args:
        conf: The app's settings.

    Returns:
        The names of the settings.
    """
    found = []
    for name, why in REPLACED.items():
        if conf.value_set_for(name) and conf[name]:
            logger.warning("The setting %s=%r is not honoured: %s", name, conf[name], why)
            found.append(name)
    for name, why in WITHOUT_EFFECT.items():
        if conf.value_set_for(name):
            logger.info("The setting %s has no effect: %s", name, why)
    if conf.security_key and "auth" not in registry.names:
        logger.warning("The setting security_key has no effect: messages are signed after app.setup_security()")
    return found
