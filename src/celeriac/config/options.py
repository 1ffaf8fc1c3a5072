"""The table of settings: a row for each, with its type, defaults, old name and meaning.

Data only: looking names up is `names`, checking values is `values`, holding values is `settings`.

Names, types and defaults are those of Celery 5.7. A row has a second default, `celery_default`, where
Celeriac chooses another one under its own name; `celery_defaults=True` selects that column.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, NamedTuple

__all__ = ["GROUPS", "OPTIONS", "SAME", "Group", "Option"]


class _Same:
    """Says that Celery's default is Celeriac's."""

    def __repr__(self) -> str:
        return "SAME"


SAME: Final = _Same()


class Option(NamedTuple):
    """One setting.

    Attributes:
        name: Lower-case name.
        type: ``string``, ``bytes``, ``int``, ``float``, ``bool``, ``list``, ``tuple``, ``dict`` or ``any``.
        default: Default under Celeriac's own name.
        old: Historic upper-case name; None when there was none.
        doc: One line of meaning, with units.
        celery_default: Celery's default; `SAME` when it is equal to `default`.
        minimum: Smallest number accepted; None for no bound.
        nullable: Whether None is accepted.
        choices: The only values accepted; empty for any.
        mapping_too: Whether a mapping is accepted besides the type.
        declared: Whether Celery declares the setting; only declared ones tell old style from new style.
    """

    name: str
    type: str
    default: Any
    old: str | None
    doc: str
    celery_default: Any = SAME
    minimum: float | None = None
    nullable: bool = True
    choices: tuple[Any, ...] = ()
    mapping_too: bool = False
    declared: bool = True

    def default_for(self, *, celery: bool) -> Any:
        """Return Celery's default when `celery`, else Celeriac's."""
        return self.default if not celery or self.celery_default is SAME else self.celery_default


class Group(NamedTuple):
    """Settings that are documented together."""

    title: str
    options: tuple[Option, ...]


def _o(name: str, kind: str, default: Any, old: str, doc: str, celery: Any = SAME, **more: Any) -> Option:
    """A setting declared by Celery; `old` is left empty where the old name is the upper-case new one."""
    return Option(name, kind, default, old or name.upper(), doc, celery, **more)


def _n(name: str, kind: str, default: Any, doc: str, celery: Any = SAME, **more: Any) -> Option:
    """A setting without historic name: read by Celery but not declared there, or Celeriac's own."""
    return Option(name, kind, default, more.pop("old", None), doc, celery, declared=False, **more)


def _daemon(command: str) -> tuple[Option, ...]:
    """The daemon options of one command."""
    return (
        _n(f"{command}_logfile", "string", None, f"Log file of the {command} command; None logs to stderr."),
        _n(f"{command}_pidfile", "string", None, f"Pid file of the {command} command."),
        _n(f"{command}_uid", "any", None, f"User, by name or number, the {command} command switches to."),
        _n(f"{command}_gid", "any", None, f"Group, by name or number, the {command} command switches to."),
        _n(
            f"{command}_umask",
            "any",
            None,
            f"File mode mask of the {command} command; text with a leading 0 is octal.",
        ),
        _n(
            f"{command}_executable",
            "string",
            None,
            f"Python interpreter the detached {command} command runs on.",
        ),
    )


_LOG = "[%(asctime)s: %(levelname)s/%(processName)s]"

# fmt: off
GROUPS: Final[tuple[Group, ...]] = (
    Group("General", (
        _o("accept_content", "list", ("json",), "CELERY_ACCEPT_CONTENT",
           "Serializers, by name or content type, that may be decoded; messages in any other are refused."),
        _o("enable_utc", "bool", True, "",
           "Write dates in messages as UTC; also makes UTC the time zone while `timezone` is unset."),
        _o("imports", "tuple", (), "CELERY_IMPORTS",
           "Modules a worker or beat imports as it starts."),
        _o("include", "tuple", (), "CELERY_INCLUDE",
           "More such modules, imported after `imports`; set by `Celery(include=)` and `-I`."),
        _o("timezone", "string", None, "CELERY_TIMEZONE",
           "Local time zone, as an IANA name or a tzinfo. None: Django's `TIME_ZONE`, else UTC or the"
           " system's zone"
           " as `enable_utc` says."),
        _n("override_backends", "dict", {},
           "Result backends of your own: alias to class, looked up before the built-in aliases."),
        _n("visibility_timeout", "float", None,
           "Seconds an unsettled message stays hidden on Redis, for producers and consumers that set it"
           " here.",
           minimum=0),
        _n("db_reuse_max", "int", None,
           "Django: how many tasks may share a database connection; None closes it after each task.",
           old="CELERY_DB_REUSE_MAX", minimum=0),
    )),
    Group("Beat", (
        _o("beat_enable_remote_control", "bool", False, "CELERYBEAT_ENABLE_REMOTE_CONTROL",
           "Let a stand-alone beat answer `ping` as node `celerybeat@<host>`."),
        _o("beat_remote_control_max_tick_age", "float", None, "CELERYBEAT_REMOTE_CONTROL_MAX_TICK_AGE",
           "Seconds without a tick after which beat leaves pings unanswered. None: twice the maximal"
           " interval, at"
           " least 60; 0: always answer.", minimum=0),
        _o("beat_max_loop_interval", "float", 0, "CELERYBEAT_MAX_LOOP_INTERVAL",
           "Longest sleep between two ticks in seconds; 0 leaves it to the scheduler (300).", minimum=0),
        _o("beat_schedule", "dict", {}, "CELERYBEAT_SCHEDULE",
           "Periodic tasks: entry name to a dict of task, schedule, args, kwargs, options and relative."),
        _o("beat_scheduler", "string", "celery.beat:PersistentScheduler", "CELERYBEAT_SCHEDULER",
           "Scheduler, as a class path or an alias from the `celery.beat_schedulers` entry points."),
        _o("beat_schedule_filename", "string", "celerybeat-schedule", "CELERYBEAT_SCHEDULE_FILENAME",
           "SQLite file where beat keeps its schedule while `beat_store_url` is unset."),
        _n("beat_http_address", "string", None,
           "Where beat answers `/livez`, `/readyz` and `/metrics`: `host:port`, or `:port` for every interface."
           " None: nowhere."),
        _n("beat_store_url", "string", None,
           "Where beat keeps its schedule, for any number of beats to share: a URL of SQLite, Redis, PostgreSQL or"
           " MySQL."),
        _n("beat_lease", "float", 15.0,
           "Seconds after which another beat takes over from one that has vanished.", minimum=1),
        _o("beat_sync_every", "int", 0, "CELERYBEAT_SYNC_EVERY",
           "Tasks after which a scheduler of one's own is told to save, by `sync`; 0: by time only, every 180 s. The"
           " standard one saves with every run.", minimum=0),
        _o("beat_cron_starting_deadline", "int", None, "CELERYBEAT_CRON_STARTING_DEADLINE",
           "How many seconds late a missed crontab run may still start; None: any number.", minimum=0),
        *_daemon("beat"),
    )),
    Group("Broker", (
        _o("broker_url", "string", None, "",
           "Where messages go: a URL, several joined by `;`, or a list for failover. None: the embedded"
           " SQLite"
           " broker. `CELERY_BROKER_URL` in the environment wins.", "amqp://"),
        _o("broker_read_url", "string", None, "",
           "URL for consuming only; None: `broker_url`. `CELERY_BROKER_READ_URL` in the environment wins."),
        _o("broker_write_url", "string", None, "",
           "URL for publishing only; None: `broker_url`. `CELERY_BROKER_WRITE_URL` in the environment wins."),
        _o("broker_transport", "string", None, "",
           "Transport of a URL that has no scheme."),
        _o("broker_transport_options", "dict", {}, "",
           "Options of the transport, by name."),
        _o("broker_connection_timeout", "float", 4, "",
           "Seconds one connection attempt may take.", minimum=0),
        _o("broker_connection_retry", "bool", True, "",
           "Reconnect when the broker connection is lost."),
        _o("broker_connection_retry_on_startup", "bool", None, "",
           "Keep trying when the first connection fails; None: as `broker_connection_retry`."),
        _o("broker_connection_max_retries", "int", 100, "",
           "Connection attempts before giving up; 0 or None: no limit."),
        _o("broker_channel_error_retry", "bool", False, "",
           "Let the worker's consumer recover from channel errors as from connection errors."),
        _o("broker_failover_strategy", "string", None, "",
           "Order in which several URLs are tried: `round-robin` (None), `shuffle`, or a callable giving an"
           " endless"
           " iterator."),
        _o("broker_heartbeat", "int", 120, "",
           "AMQP heartbeat asked of the broker, in seconds; 0 turns it off.", minimum=0),
        _o("broker_heartbeat_checkrate", "int", 3.0, "",
           "Heartbeat checks per heartbeat interval."),
        _o("broker_login_method", "string", None, "",
           "AMQP login mechanism: PLAIN, AMQPLAIN, EXTERNAL."),
        _o("broker_native_delayed_delivery_queue_type", "string", "quorum", "",
           "Type of the queues that hold delayed messages on RabbitMQ: `quorum` or `classic`."),
        _o("broker_pool_limit", "int", 10, "",
           "Most broker connections one process keeps open; 0 or None: a new one each time."),
        _o("broker_pool_acquire_timeout", "float", None, "",
           "Seconds to wait for a pooled connection before OperationalError; None: no limit.", minimum=0),
        _o("broker_use_ssl", "bool", False, "",
           "TLS to the broker: True, or a dict of the transport's TLS parameters.", mapping_too=True),
        _o("broker_host", "string", None, "", "Broker host, where no URL is given."),
        _o("broker_port", "int", None, "", "Broker port, where no URL is given.", minimum=0),
        _o("broker_user", "string", None, "", "Broker user, where no URL is given."),
        _o("broker_password", "string", None, "", "Broker password, where no URL is given."),
        _o("broker_vhost", "string", None, "", "Virtual host, where no URL is given."),
    )),
    Group("Tasks", (
        _o("task_acks_late", "bool", True, "CELERY_ACKS_LATE",
           "Acknowledge a message when its task has ended, so that a crash returns it; False: before it"
           " starts.", False),
        _o("task_acks_on_failure_or_timeout", "bool", True, "CELERY_ACKS_ON_FAILURE_OR_TIMEOUT",
           "With late acks, acknowledge failed and timed-out tasks too. Deprecated: use the next two."),
        _o("task_acks_on_failure", "bool", None, "CELERY_ACKS_ON_FAILURE",
           "With late acks, acknowledge a failed task; None: as `task_acks_on_failure_or_timeout`."),
        _o("task_acks_on_timeout", "bool", None, "CELERY_ACKS_ON_TIMEOUT",
           "With late acks, acknowledge a timed-out task; None: as `task_acks_on_failure_or_timeout`."),
        _o("task_always_eager", "bool", False, "CELERY_ALWAYS_EAGER",
           "Run tasks in the calling process, without broker, as soon as they are called."),
        _o("task_annotations", "any", None, "CELERY_ANNOTATIONS",
           "Changes to attributes of tasks: a dict, an object with `annotate`, or a list of these."),
        _o("task_compression", "string", None, "CELERY_MESSAGE_COMPRESSION",
           "Compression of message bodies, by name; None: none."),
        _o("task_create_missing_queues", "bool", True, "CELERY_CREATE_MISSING_QUEUES",
           "Define a queue when a task is sent to an unknown name; False: QueueNotFound."),
        _o("task_create_missing_queue_type", "string", "classic", "CELERY_CREATE_MISSING_QUEUE_TYPE",
           "RabbitMQ type of queues defined that way: `classic` or `quorum`."),
        _o("task_create_missing_queue_exchange_type", "string", None,
           "CELERY_CREATE_MISSING_QUEUE_EXCHANGE_TYPE",
           "Exchange type of queues defined that way; None: `task_default_exchange_type`."),
        _o("task_inherit_parent_priority", "bool", False, "CELERY_INHERIT_PARENT_PRIORITY",
           "Give a task sent from within a task its parent's priority."),
        _o("task_default_delivery_mode", "string", 2, "CELERY_DEFAULT_DELIVERY_MODE",
           "2 or `persistent`: messages outlive a broker restart; 1 or `transient`: they need not."),
        _o("task_default_queue", "string", "celery", "CELERY_DEFAULT_QUEUE",
           "Queue of tasks that are routed nowhere else."),
        _o("task_default_queue_type", "string", "classic", "CELERY_DEFAULT_QUEUE_TYPE",
           "RabbitMQ type of the default queue: `classic` or `quorum`."),
        _o("task_default_exchange", "string", None, "CELERY_DEFAULT_EXCHANGE",
           "Exchange of queues that name none; None: `task_default_queue`."),
        _o("task_default_exchange_type", "string", "direct", "CELERY_DEFAULT_EXCHANGE_TYPE",
           "Type of that exchange: `direct`, `topic` or `fanout`."),
        _o("task_default_routing_key", "string", None, "CELERY_DEFAULT_ROUTING_KEY",
           "Routing key of queues that name none; None: `task_default_queue`."),
        _o("task_default_rate_limit", "string", None, "CELERY_DEFAULT_RATE_LIMIT",
           "Rate limit of tasks without one: a number per second, or `N/s`, `N/m`, `N/h`; 0 or None: no"
           " limit."),
        _o("task_default_priority", "int", None, "CELERY_DEFAULT_PRIORITY",
           "Priority of tasks without one; its range is the broker's."),
        _o("task_eager_propagates", "bool", False, "CELERY_EAGER_PROPAGATES_EXCEPTIONS",
           "Raise a task's error at once when it runs eagerly."),
        _o("task_ignore_result", "bool", False, "CELERY_IGNORE_RESULT",
           "Store no results."),
        _o("task_store_eager_result", "bool", False, "CELERY_STORE_EAGER_RESULT",
           "Store the results of eager tasks too."),
        _o("task_protocol", "int", 2, "CELERY_TASK_PROTOCOL",
           "Version of the task message: 1 or 2.", choices=(1, 2)),
        _o("task_publish_retry", "bool", True, "CELERY_TASK_PUBLISH_RETRY",
           "Publish again after a connection error."),
        _o("task_publish_retry_policy", "dict",
           {"max_retries": 3, "interval_start": 0, "interval_max": 1, "interval_step": 0.2},
           "CELERY_TASK_PUBLISH_RETRY_POLICY",
           "How publishing is retried: max_retries, interval_start, interval_step, interval_max (seconds),"
           " retry_errors."),
        _o("task_queues", "dict", None, "CELERY_QUEUES",
           "Queues to consume: a list of Queue objects, or a dict of name to options. None: the default"
           " queue."),
        _o("task_queue_max_priority", "int", None, "CELERY_QUEUE_MAX_PRIORITY",
           "`x-max-priority` for every queue that has none of its own.", minimum=0),
        _o("task_reject_on_worker_lost", "bool", True, "CELERY_REJECT_ON_WORKER_LOST",
           "With late acks, put the message back when the process running its task dies.", None),
        _o("task_retry_on_worker_lost", "bool", False, "CELERY_RETRY_ON_WORKER_LOST",
           "Publish a retry, counted against max_retries, when the process running a task dies."),
        _o("task_remote_tracebacks", "bool", False, "CELERY_REMOTE_TRACEBACKS",
           "Rebuild the worker's traceback on errors raised at the client (needs tblib)."),
        _o("task_repr_maxlevels", "int", 3, "CELERY_REPR_MAXLEVELS",
           "How deeply nested arguments are shown in messages and logs.", minimum=0),
        _o("task_routes", "any", None, "CELERY_ROUTES",
           "Routes: a dict of task name or pattern to options, a function, a path to one, or a list of"
           " these."),
        _o("task_send_sent_event", "bool", False, "CELERY_SEND_TASK_SENT_EVENT",
           "Publish a `task-sent` event for every task sent."),
        _o("task_serializer", "string", "json", "CELERY_TASK_SERIALIZER",
           "Serializer of task arguments and of remote-control commands."),
        _o("task_soft_time_limit", "float", None, "CELERYD_TASK_SOFT_TIME_LIMIT",
           "Seconds until SoftTimeLimitExceeded is raised inside a task; None: never.", minimum=0),
        _o("task_time_limit", "float", None, "CELERYD_TASK_TIME_LIMIT",
           "Seconds until the process running a task is killed; None: never.", minimum=0),
        _o("task_store_errors_even_if_ignored", "bool", False, "CELERY_STORE_ERRORS_EVEN_IF_IGNORED",
           "Store errors of tasks whose results are ignored."),
        _o("task_track_started", "bool", False, "CELERY_TRACK_STARTED",
           "Store the state STARTED when a task begins."),
        _o("task_allow_error_cb_on_chord_header", "bool", False, "CELERY_ALLOW_ERROR_CB_ON_CHORD_HEADER",
           "Attach a chord's errback to each header task as well as to the body."),
    )),
    Group("Worker", (
        _o("worker_agent", "string", None, "CELERYD_AGENT", "Class path of an agent run beside the worker."),
        _o("worker_autoscaler", "string", "celery.worker.autoscale:Autoscaler", "CELERYD_AUTOSCALER",
           "Class path of the autoscaler."),
        _o("worker_cancel_long_running_tasks_on_connection_loss", "bool", False,
           "CELERYD_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS",
           "Cancel running late-acked tasks when the broker connection is lost."),
        _o("worker_soft_shutdown_timeout", "float", 0.0, "CELERYD_SOFT_SHUTDOWN_TIMEOUT",
           "Seconds running tasks are given before a cold shutdown.", minimum=0),
        _o("worker_enable_soft_shutdown_on_idle", "bool", False, "CELERYD_ENABLE_SOFT_SHUTDOWN_ON_IDLE",
           "Wait that long even when no task is running."),
        _o("worker_concurrency", "any", None, "CELERYD_CONCURRENCY",
           "Tasks run at once: a number, or `auto` for what the CPU quota and affinity allow. None: the CPU"
           " count.",
           minimum=0),
        _o("worker_consumer", "string", "celery.worker.consumer:Consumer", "CELERYD_CONSUMER",
           "Class path of the consumer."),
        _o("worker_direct", "bool", False, "CELERY_WORKER_DIRECT",
           "Consume a queue of the worker's own too: `<nodename>.dq2`."),
        _o("worker_disable_rate_limits", "bool", False, "CELERY_DISABLE_RATE_LIMITS",
           "Ignore every rate limit."),
        _o("worker_deduplicate_successful_tasks", "bool", False, "CELERYD_DEDUPLICATE_SUCCESSFUL_TASKS",
           "Skip a redelivered late-acked task whose stored state is SUCCESS."),
        _o("worker_enable_remote_control", "bool", True, "CELERY_ENABLE_REMOTE_CONTROL",
           "Listen for remote-control commands."),
        _o("worker_hijack_root_logger", "bool", True, "CELERYD_HIJACK_ROOT_LOGGER",
           "Remove handlers already on the root logger when logging is set up."),
        _o("worker_log_color", "bool", None, "CELERYD_LOG_COLOR",
           "Coloured log lines; None: when writing to a terminal."),
        _o("worker_log_datefmt", "string", None, "CELERYD_LOG_DATEFMT",
           "strftime format of dates in log lines."),
        _o("worker_log_format", "string", f"{_LOG} %(message)s", "CELERYD_LOG_FORMAT",
           "Format of log lines; `json` logs an object a line, lines of tasks too."),
        _o("worker_lost_wait", "float", 10.0, "CELERYD_WORKER_LOST_WAIT",
           "Seconds to wait for the outcome of a child that died before WorkerLostError.", minimum=0),
        _o("worker_max_memory_per_child", "int", None, "CELERYD_MAX_MEMORY_PER_CHILD",
           "KiB of resident memory after which a child is replaced; None: no limit.", minimum=0),
        _o("worker_max_tasks_per_child", "int", None, "CELERYD_MAX_TASKS_PER_CHILD",
           "Tasks after which a child is replaced; None: no limit.", minimum=0),
        _o("worker_pool", "string", "prefork", "CELERYD_POOL",
           "Pool: `prefork`, `threads`, `asyncio`, `solo`, `gevent`, `eventlet`, or a class path."),
        _o("worker_pool_putlocks", "bool", True, "CELERYD_POOL_PUTLOCKS",
           "Hand a pool no more tasks than it has free slots."),
        _o("worker_pool_restarts", "bool", False, "CELERYD_POOL_RESTARTS",
           "Allow the `pool_restart` command."),
        _o("worker_pool_start_method", "string", "fork", "CELERYD_POOL_START_METHOD",
           "How children are started: `fork` or `spawn`.", choices=("fork", "spawn")),
        _o("worker_proc_alive_timeout", "float", 60.0, "CELERYD_PROC_ALIVE_TIMEOUT",
           "Seconds a new child has to come up, `worker_process_init` included, before it is killed and another is"
           " started; 0: no limit.", celery=4.0, minimum=0),
        _o("worker_prefetch_multiplier", "int", 4, "CELERYD_PREFETCH_MULTIPLIER",
           "Messages held per slot of concurrency; 0: no limit. Set, it turns adaptive prefetching"
           " off.", minimum=0),
        _o("worker_eta_task_limit", "int", None, "CELERYD_ETA_TASK_LIMIT",
           "Most delayed tasks a worker holds in memory; None: no limit.", minimum=0),
        _o("worker_enable_prefetch_count_reduction", "bool", True, "CELERYD_ENABLE_PREFETCH_COUNT_REDUCTION",
           "After a reconnect, prefetch less until the tasks still running have ended."),
        _o("worker_disable_prefetch", "bool", False, "CELERYD_DISABLE_PREFETCH",
           "Fetch a message only when a slot is free (Redis)."),
        _o("worker_redirect_stdouts", "bool", True, "CELERY_REDIRECT_STDOUTS",
           "Send what tasks print to the log."),
        _o("worker_redirect_stdouts_level", "string", "WARNING", "CELERY_REDIRECT_STDOUTS_LEVEL",
           "Log level of printed lines."),
        _o("worker_send_task_events", "bool", False, "CELERY_SEND_EVENTS",
           "Publish events about tasks, as `-E` does."),
        _o("worker_state_db", "string", None, "CELERYD_STATE_DB",
           "File that keeps revoked ids over restarts; None: they are forgotten."),
        _o("worker_task_log_datefmt", "string", None, "CELERYD_TASK_LOG_DATEFMT",
           "strftime format of dates in lines logged by tasks."),
        _o("worker_task_log_format", "string", f"{_LOG} %(task_name)s[%(task_id)s]: %(message)s",
           "CELERYD_TASK_LOG_FORMAT", "Format of lines logged by tasks."),
        _o("worker_timer", "string", None, "CELERYD_TIMER", "Class path of the timer; None: the pool's own."),
        _o("worker_timer_precision", "float", 1.0, "CELERYD_TIMER_PRECISION",
           "Longest time in seconds a timer may sleep before it looks again.", minimum=0),
        _o("worker_detect_quorum_queues", "bool", True, "CELERYD_DETECT_QUORUM_QUEUES",
           "Set the prefetch count per consumer when one of the queues is a quorum queue."),
        *_daemon("worker"),
    )),
    Group("Results", (
        _o("result_accept_content", "list", None, "",
           "Serializers that may be decoded from results; None: `accept_content`."),
        _o("result_backend", "string", None, "CELERY_RESULT_BACKEND",
           "Where results are kept: a URL, an alias or a class path; `disabled://`: nowhere. None: the"
           " embedded SQLite store; with Celery's defaults, nowhere."
           " `CELERY_RESULT_BACKEND` in the environment wins."),
        _o("result_cache_max", "int", -1, "CELERY_MAX_CACHED_RESULTS",
           "Has no effect: each result object keeps what is final.", minimum=-1),
        _o("result_compression", "string", None, "CELERY_RESULT_COMPRESSION",
           "Compression of stored results, by name; None: none."),
        _o("result_exchange", "string", "celeryresults", "CELERY_RESULT_EXCHANGE",
           "Has no effect: replies of `rpc://` go straight to the queue of the client."),
        _o("result_exchange_type", "string", "direct", "CELERY_RESULT_EXCHANGE_TYPE",
           "Has no effect, as above."),
        _o("result_expires", "float", timedelta(days=1), "CELERY_TASK_RESULT_EXPIRES",
           "How long results are kept, in seconds or as a timedelta; 0 or None: for ever.", minimum=0),
        _o("result_chord_expires", "float", None, "CELERY_RESULT_CHORD_EXPIRES",
           "Seconds the count of a chord is kept; None: `result_expires`.", minimum=0),
        _o("result_failure_expires", "float", None, "CELERY_RESULT_FAILURE_EXPIRES",
           "Seconds failed results are kept (Redis); None: `result_expires`.", minimum=0),
        _o("result_persistent", "bool", None, "CELERY_RESULT_PERSISTENT",
           "Make replies of `rpc://` outlive a broker restart; None: as the backend prefers."),
        _o("result_extended", "bool", False, "CELERY_RESULT_EXTENDED",
           "Store name, arguments, worker, retries and queue with each result."),
        _o("result_serializer", "string", "json", "CELERY_RESULT_SERIALIZER",
           "Serializer of stored results."),
        _o("result_backend_transport_options", "dict", {}, "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS",
           "Options of the result backend, by name."),
        _o("result_chord_retry_interval", "float", 1.0, "CELERY_RESULT_CHORD_RETRY_INTERVAL",
           "Seconds between two looks at a chord that a client of Celery sent with `celery.chord_unlock`; no other is "
           "looked at again and again.", minimum=0),
        _o("result_chord_join_timeout", "float", 3.0, "CELERY_RESULT_CHORD_JOIN_TIMEOUT",
           "Seconds to wait for each result of such a chord's header; those of any other are there when it ends.",
           minimum=0),
        _o("result_backend_max_sleep_between_retries_ms", "int", 10000,
           "CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS",
           "Longest pause between such attempts, in milliseconds.", minimum=0),
        _o("result_backend_max_retries", "float", float("inf"), "CELERY_RESULT_BACKEND_MAX_RETRIES",
           "How often `result_backend_always_retry` repeats an operation before it gives up.", minimum=0),
        _o("result_backend_base_sleep_between_retries_ms", "int", 10,
           "CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS",
           "First pause between such attempts, in milliseconds; it doubles, with jitter.", minimum=0),
        _o("result_backend_always_retry", "bool", False, "CELERY_RESULT_BACKEND_ALWAYS_RETRY",
           "Repeat reads and writes of results while the store cannot be reached, in clients too; workers wait for"
           " theirs in any case."),
        _n("result_backend_thread_safe", "bool", False,
           "Has no effect: threads share a result backend."),
    )),
    Group("Events", (
        _o("event_queue_expires", "float", 60.0, "CELERY_EVENT_QUEUE_EXPIRES",
           "Seconds without a receiver after which its queue is deleted.", minimum=0),
        _o("event_queue_ttl", "float", 5.0, "CELERY_EVENT_QUEUE_TTL",
           "Seconds an event waits in a receiver's queue before it is dropped.", minimum=0),
        _o("event_queue_prefix", "string", "celeryev", "CELERY_EVENT_QUEUE_PREFIX",
           "First part of the names of receivers' queues."),
        _o("event_queue_exclusive", "bool", True, "CELERY_EVENT_QUEUE_EXCLUSIVE",
           "Make receivers' queues exclusive to their connection; cannot be combined with durable."),
        _o("event_queue_durable", "bool", False, "CELERY_EVENT_QUEUE_DURABLE",
           "Make receivers' queues outlive a broker restart."),
        _o("event_serializer", "string", "json", "CELERY_EVENT_SERIALIZER", "Serializer of events."),
        _o("event_exchange", "string", "celeryev", "CELERY_EVENT_EXCHANGE", "Exchange of events."),
        *_daemon("events"),
    )),
    Group("Remote control", (
        _o("control_queue_ttl", "float", 300.0, "",
           "Seconds a command or reply waits in its queue before it is dropped.", minimum=0),
        _o("control_queue_expires", "float", 10.0, "",
           "Seconds without a consumer after which a command or reply queue is deleted.", minimum=0),
        _o("control_queue_exclusive", "bool", True, "",
           "Make those queues exclusive to their connection; cannot be combined with durable."),
        _o("control_queue_durable", "bool", False, "", "Make those queues outlive a broker restart."),
        _o("control_exchange", "string", "celery", "",
           "First part of the exchange names: `<name>.pidbox` and `reply.<name>.pidbox`."),
    )),
    Group("Message signing", (
        _o("security_certificate", "string", None, "CELERY_SECURITY_CERTIFICATE",
           "File with the certificate (PEM) this node signs with."),
        _o("security_cert_store", "string", None, "CELERY_SECURITY_CERT_STORE",
           "Directory or glob of certificates (PEM) to trust."),
        _o("security_key", "string", None, "CELERY_SECURITY_KEY", "File with the private key (PEM)."),
        _o("security_key_password", "bytes", None, "CELERY_SECURITY_KEY_PASSWORD",
           "Password of the private key, as bytes."),
        _o("security_digest", "string", "sha256", "CELERY_SECURITY_DIGEST", "Hash function of signatures."),
    )),
    Group("Database results", (
        _o("database_url", "string", None, "CELERY_RESULT_DBURI",
           "Database, as an SQLAlchemy URL, where `result_backend` gives none."),
        _o("database_engine_options", "dict", {"pool_pre_ping": True, "pool_recycle": 3600},
           "CELERY_RESULT_ENGINE_OPTIONS", "Arguments of SQLAlchemy's `create_engine`."),
        _o("database_engine_callback", "any", None, "",
           "Function, or path to one, called with every engine made."),
        _o("database_short_lived_sessions", "bool", False, "CELERY_RESULT_DB_SHORT_LIVED_SESSIONS",
           "Make a new session factory for each operation."),
        _o("database_table_schemas", "dict", None, "",
           "Database schemas of the tables: a dict with `task` and `group`."),
        _o("database_table_names", "dict", None, "CELERY_RESULT_DB_TABLENAMES",
           "Names of the tables: a dict with `task` and `group`."),
        _o("database_create_tables_at_setup", "bool", True, "",
           "Has no effect: missing tables are made when the backend is first used."),
    )),
    Group("Cache results", (
        _o("cache_backend", "string", None, "CELERY_CACHE_BACKEND",
           "Cache URL for `result_backend='cache'`: `memcached://host;host/` or `memory://`."),
        _o("cache_backend_options", "dict", {}, "CELERY_CACHE_BACKEND_OPTIONS",
           "Arguments of the cache client."),
    )),
    Group("Redis results", (
        _o("redis_backend_use_ssl", "dict", None, "CELERY_REDIS_BACKEND_USE_SSL",
           "TLS parameters of the result connection; None: no TLS unless the URL says so."),
        _o("redis_db", "int", None, "CELERY_REDIS_DB", "Database number, where no URL is given.", minimum=0),
        _o("redis_host", "string", None, "CELERY_REDIS_HOST", "Host, where no URL is given."),
        _o("redis_max_connections", "int", None, "CELERY_REDIS_MAX_CONNECTIONS",
           "Most connections to the result store in one process; None: no limit.", minimum=0),
        _o("redis_username", "string", None, "CELERY_REDIS_USERNAME", "ACL user, where the URL names none."),
        _o("redis_password", "string", None, "CELERY_REDIS_PASSWORD", "Password, where the URL has none."),
        _o("redis_port", "int", None, "CELERY_REDIS_PORT", "Port, where no URL is given.", minimum=0),
        _o("redis_socket_timeout", "float", 120.0, "CELERY_REDIS_SOCKET_TIMEOUT",
           "Seconds to wait for an answer; None: no limit.", minimum=0),
        _o("redis_socket_connect_timeout", "float", None, "CELERY_REDIS_SOCKET_CONNECT_TIMEOUT",
           "Seconds to wait for a connection; None: as the socket timeout.", minimum=0),
        _o("redis_retry_on_timeout", "bool", False, "CELERY_REDIS_RETRY_ON_TIMEOUT",
           "Has no effect: what may be repeated is."),
        _o("redis_socket_keepalive", "bool", False, "CELERY_REDIS_SOCKET_KEEPALIVE",
           "Keep idle connections alive with TCP probes."),
        _n("redis_backend_health_check_interval", "int", None,
           "Has no effect: a connection that was lost is replaced when it is used.", minimum=0),
        _n("redis_backend_credential_provider", "any", None,
           "Object, or path to its class, that gives user and password for each connection."),
        _n("redis_client_name", "string", None, "Name that connections give themselves on the server."),
    )),
    Group("Cassandra results", (
        _o("cassandra_entry_ttl", "float", None, "",
           "Seconds results are kept, 0 for ever; None: as `result_expires`.", minimum=0),
        _o("cassandra_keyspace", "string", None, "", "Keyspace of the result tables; it must exist."),
        _o("cassandra_port", "string", None, "", "Port of the nodes; None: 9042."),
        _o("cassandra_read_consistency", "string", None, "", "Consistency of reads; None: LOCAL_QUORUM."),
        _o("cassandra_servers", "list", None, "", "Nodes to contact first; not together with a bundle."),
        _o("cassandra_bundle_path", "string", None, "",
           "The name under which Celery declares the bundle; taken where `cassandra_secure_bundle_path` is not set."),
        _o("cassandra_table", "string", None, "", "Table of results; ours has `_celeriac` after this name."),
        _o("cassandra_write_consistency", "string", None, "", "Consistency of writes; None: LOCAL_QUORUM."),
        _o("cassandra_auth_provider", "string", None, "", "Class of `cassandra.auth` to log in with."),
        _o("cassandra_auth_kwargs", "string", None, "", "Arguments of that class."),
        _o("cassandra_options", "dict", {}, "", "Further arguments of the cluster object."),
        _n("cassandra_secure_bundle_path", "string", None,
           "File with the connection bundle of a hosted cluster; not together with servers."),
    )),
    Group("S3 results", (
        _o("s3_access_key_id", "string", None, "", "Access key; None: from the environment."),
        _o("s3_secret_access_key", "string", None, "", "Secret of the access key."),
        _o("s3_bucket", "string", None, "", "Bucket of results."),
        _o("s3_base_path", "string", None, "", "Text put in front of every object name, as it is."),
        _o("s3_endpoint_url", "string", None, "", "Address of a service other than AWS."),
        _o("s3_region", "string", None, "", "AWS region."),
    )),
    Group("Azure Blob results", (
        _o("azureblockblob_container_name", "string", "celery", "",
           "Container of results, made when missing."),
        _o("azureblockblob_retry_initial_backoff_sec", "int", 2, "",
           "Has no effect: workers repeat what failed, and clients do with `result_backend_always_retry`.", minimum=0),
        _o("azureblockblob_retry_increment_base", "int", 2, "", "Has no effect, as above.", minimum=0),
        _o("azureblockblob_retry_max_attempts", "int", 3, "", "Has no effect, as above.", minimum=0),
        _o("azureblockblob_base_path", "string", "", "", "Text put in front of every blob name."),
        _o("azureblockblob_connection_timeout", "int", 20, "",
           "Seconds to wait for a connection.", minimum=0),
        _o("azureblockblob_read_timeout", "int", 120, "", "Seconds to wait for an answer.", minimum=0),
    )),
    Group("Google Cloud results", (
        _o("gcs_bucket", "string", None, "", "Bucket of results."),
        _o("gcs_project", "string", None, "", "Project of the bucket."),
        _o("gcs_base_path", "string", "", "", "Folder of the objects; slashes at its ends are ignored."),
        _o("gcs_ttl", "float", 0, "",
           "Seconds objects are kept, which needs a delete rule on the bucket; 0: for ever.", minimum=0),
        _n("gcs_threadpool_maxsize", "int", 10, "Threads for parallel requests.", minimum=1),
        _n("firestore_project", "string", None,
           "Has no effect: chords are counted in the bucket."),
    )),
    Group("DynamoDB results", (
        _n("dynamodb_endpoint_url", "string", None, "Address of a service other than AWS."),
    )),
    Group("Document store results", (
        _o("couchbase_backend_settings", "dict", None, "CELERY_COUCHBASE_BACKEND_SETTINGS",
           "Couchbase: host, port, bucket, username and password."),
        _o("arangodb_backend_settings", "dict", None, "CELERY_ARANGODB_BACKEND_SETTINGS",
           "ArangoDB: host, port, database, collection, username, password, http_protocol and verify."),
        _o("mongodb_backend_settings", "dict", None, "CELERY_MONGODB_BACKEND_SETTINGS",
           "MongoDB: host, port, mongo_host, user, password, database, the two collection names and client"
           " options."),
        _o("cosmosdbsql_database_name", "string", "celerydb", "", "Cosmos DB: database."),
        _o("cosmosdbsql_collection_name", "string", "celerycol", "", "Cosmos DB: collection."),
        _o("cosmosdbsql_consistency_level", "string", "Session", "",
           "Cosmos DB: Strong, BoundedStaleness, Session, ConsistentPrefix or Eventual."),
        _o("cosmosdbsql_max_retry_attempts", "int", 9, "",
           "Cosmos DB: attempts before giving up.", minimum=0),
        _o("cosmosdbsql_max_retry_wait_time", "int", 30, "",
           "Cosmos DB: seconds to spend on retries.", minimum=0),
        _o("elasticsearch_retry_on_timeout", "bool", None, "CELERY_ELASTICSEARCH_RETRY_ON_TIMEOUT",
           "Elasticsearch: ask the next node when one does not answer in time."),
        _o("elasticsearch_max_retries", "int", None, "CELERY_ELASTICSEARCH_MAX_RETRIES",
           "Elasticsearch: attempts before giving up; None: 3.", minimum=0),
        _o("elasticsearch_timeout", "float", None, "CELERY_ELASTICSEARCH_TIMEOUT",
           "Elasticsearch: seconds to wait for an answer; None: 10.", minimum=0),
        _o("elasticsearch_save_meta_as_text", "bool", True, "CELERY_ELASTICSEARCH_SAVE_META_AS_TEXT",
           "Elasticsearch: store a result as JSON text instead of as an object."),
    )),
    Group("Celeriac's own", (
        _n("celery_defaults", "bool", False,
           "Start from Celery's defaults: broker at `amqp://`, no results, early acks, unconfirmed"
           " publishing, no limit"
           " on deliveries.", nullable=False),
        _n("broker_publish_timeout", "float", 5.0,
           "Seconds a publish may take in all: connecting, writing, retrying and being confirmed.",
           minimum=0, nullable=False),
        _n("broker_confirm_publish", "bool", True,
           "Have RabbitMQ confirm every message before a publish returns.", False, nullable=False),
        _n("broker_lease", "float", 30.0,
           "Seconds a claimed message is held without sign of life from its worker before it may return.",
           minimum=0, nullable=False),
        _n("broker_sweep_interval", "float", 10.0,
           "Seconds between two searches for messages whose lease ran out.", minimum=0, nullable=False),
        _n("task_graph_expires", "float", 604800.0,
           "Seconds the result store keeps the rest of a workflow, and no shorter than results; 0 or None: for ever.",
           minimum=0),
        _n("task_graph_inline_max", "int", 2048,
           "Bytes of further steps that a workflow's messages carry; what is longer is kept in the result"
           " store. None: no limit, which workers of Celery want.", None, minimum=0),
        _n("task_max_deliveries", "int", 5,
           "Deliveries after which a message is set aside instead of being run again; None: no"
           " limit.", None, minimum=1),
        _n("worker_adaptive_prefetch", "bool", True,
           "Claim short tasks in larger batches, unless `worker_prefetch_multiplier` is"
           " set.", nullable=False),
        _n("worker_http_address", "string", None,
           "Where a worker answers `/livez`, `/readyz` and `/metrics`: `host:port`, or `:port` for every interface."
           " None: nowhere."),
        _n("worker_mingle", "bool", False,
           "Ask the other workers at the start which tasks are revoked, and for their clocks, as workers of Celery do:"
           " for fleets with some of them.", nullable=False),
        _n("worker_prefetch_max_bytes", "int", 64 << 20,
           "What the bodies of the messages that a worker holds may amount to, in bytes; one message for each slot"
           " is held regardless.", minimum=1, nullable=False),
        _n("worker_shutdown_grace", "float", None,
           "Seconds a warm shutdown waits for running tasks before it gives their messages back; None: no"
           " limit.",
           minimum=0),
    )),
)
# fmt: on

#: Every setting by its name, in the order of the table.
OPTIONS: Final[dict[str, Option]] = {option.name: option for group in GROUPS for option in group.options}
