"""What Celery has and this version does not: one table for each place where it could be asked for.

Whoever meets a name says so with the text that stands here; nothing is accepted and ignored.
"""

from __future__ import annotations

from typing import Final

#: Members of an app, and what there is instead.
APP_MEMBERS: Final = {
    "amqp": "use app.queues, app.router and app.publisher",
    "log": "logging is set up by the worker",
    "pool": "sessions are kept per thread in app.sessions",
    "producer_pool": "sessions are kept per thread in app.sessions",
    "connection_or_acquire": "use app.broker and app.sessions",
    "producer_or_acquire": "use app.publisher",
    "setup_security": "messages cannot be signed in this version",
}

#: Options of `app.Worker`, and what is missing.
WORKER_OPTIONS: Final = {
    "beat": "the embedded scheduler",
    "schedule_filename": "the embedded scheduler",
    "scheduler": "the embedded scheduler",
}

#: Settings that a worker cannot honour, and what is missing.
SETTINGS: Final = {
    "task_retry_on_worker_lost": "retrying a task whose process was lost",
    "worker_agent": "agents",
    "worker_cancel_long_running_tasks_on_connection_loss": "cancelling tasks when the connection is lost",
    "worker_consumer": "custom consumers",
    "worker_deduplicate_successful_tasks": "skipping redelivered tasks that have succeeded",
    "worker_timer": "custom timers",
    "security_certificate": "signed messages",
    "security_cert_store": "signed messages",
    "security_key": "signed messages",
}

#: Commands that users of Celery know and that this version does not have.
COMMANDS: Final = frozenset({"graph"})

#: Pools.
POOLS: Final = ("eventlet", "gevent")
