"""The modules of ``celery``, but for those of ``celery.utils``, which are in `utils`."""

from __future__ import annotations

from typing import Final

from celeriac.compat.names.row import Row, names_of
from celeriac.compat.names.utils import UTILS

__all__ = ["TABLE"]

_STATE: Final = "celeriac.compat.state"
_APP: Final = {
    **names_of("celeriac.app.shared", "current_app", "current_task", "shared_task"),
    **names_of("celeriac.app.base", "Celery", "bugreport"),
    **names_of(
        _STATE, "app_or_default", "default_app", "disable_trace", "enable_trace", "pop_current_task",
        "push_current_task",
    ),
}  # fmt: skip
_CANVAS: Final = names_of(
    "celeriac.canvas", "Signature", "StampingVisitor", "chain", "chord", "chunks", "group", "maybe_signature",
    "signature", "subtask", "xmap", "xstarmap",
)  # fmt: skip
_EVENT: Final = {
    **names_of("celeriac.events.wire", "Event"),
    **names_of(_STATE, "get_exchange", "group_from"),
}
_TRACE: Final = "tasks are run by celeriac.execution; to run one in place, call task.apply()"
_WORKER: Final = "this is how the inside of Celery's worker is put together; Celeriac's is another"
_STORES: Final = "result stores are made from their URL, in the setting result_backend"
_POOLS: Final = "pools are made by name, with the option --pool or the setting worker_pool"
_LOADERS: Final = "celeriac.app.loaders"
#: Modules of which nothing is there, each with what there is instead.
_INSIDE: Final = {
    _STORES: (
        "arangodb",
        "asynchronous",
        "azureblockblob",
        "cache",
        "cassandra",
        "consul",
        "cosmosdbsql",
        "couchbase",
        "couchdb",
        "database",
        "dynamodb",
        "elasticsearch",
        "filesystem",
        "gcs",
        "mongodb",
        "redis",
        "rpc",
        "s3",
    ),
    _POOLS: ("asynpool", "eventlet", "gevent", "solo", "thread"),
    _WORKER: ("heartbeat", "loops", "pidbox"),
}
_PACKAGES: Final = {_STORES: "backends", _POOLS: "concurrency", _WORKER: "worker"}

TABLE: Final[dict[str, Row]] = {
    **{
        f"celery.{_PACKAGES[reason]}.{name}": Row(instead=reason) for reason, names in _INSIDE.items() for name in names
    },
    "celery": Row(
        None,
        {
            **_CANVAS,
            **names_of("celeriac.app.shared", "current_app", "current_task", "shared_task"),
            **names_of("celeriac.app.base", "Celery", "bugreport"),
            **names_of("celeriac.app.task", "Task"),
            **names_of("celeriac.utils.uuid", uuid="uuid4"),
            **names_of(
                "celeriac.compat.version",
                "SERIES",
                "VERSION",
                "VERSION_BANNER",
                "maybe_patch_concurrency",
                "version_info",
                "version_info_t",
                __version__="CELERY",
            ),
        },
    ),
    "celery.__main__": Row("celeriac.__main__"),
    "celery._state": Row(_STATE, _APP),
    "celery.registry": Row(None, names_of(_STATE, "tasks")),
    # ---- the app
    "celery.app": Row(None, _APP, missing={"AppPickler": "apps are pickled by their own __reduce__"}),
    "celery.app.amqp": Row(
        "celeriac.app.amqp",
        {
            **names_of("celeriac.app.queues", "Queues"),
            **names_of("celeriac.broker.topology", "Exchange", "Queue"),
        },
        missing={
            "task_message": "messages are made by celeriac.protocol",
        },
    ),
    "celery.app.annotations": Row(
        None, names_of("celeriac.app.annotations", "MapAnnotation", prepare="compile_annotations")
    ),
    "celery.app.autoretry": Row(instead="declare the task with autoretry_for=(…)"),
    "celery.app.backends": Row(instead=_STORES),
    "celery.app.base": Row(None, {**_APP, **names_of("celeriac.app.base", App="Celery")}),
    "celery.app.builtins": Row(instead="they are declared by every app"),
    "celery.app.control": Row("celeriac.control", names_of(_STATE, "flatten_reply")),
    "celery.app.defaults": Row("celeriac.compat.defaults"),
    "celery.app.events": Row("celeriac.app.events"),
    "celery.app.log": Row("celeriac.app.log"),
    "celery.app.registry": Row(
        "celeriac.app.registry", names_of(_STATE, _unpickle_task="unpickle_task", _unpickle_task_v2="unpickle_task")
    ),
    "celery.app.routes": Row(
        None,
        names_of("celeriac.app.routing", "Router", prepare="compile_routes"),
        missing={"MapRoute": "use the setting task_routes"},
    ),
    "celery.app.task": Row(None, {**names_of("celeriac.app.task", "Task"), **names_of("celeriac.current", "Context")}),
    "celery.app.trace": Row(
        "celeriac.compat.tracing",
        missing=dict.fromkeys(
            ("reset_worker_optimizations", "setup_worker_optimizations", "trace_task", "fast_trace_task"), _TRACE
        ),
    ),
    "celery.app.utils": Row(
        None,
        {
            **names_of("celeriac.config", "Settings"),
            **names_of("celeriac.app.base", "bugreport"),
            **names_of("celeriac.cli.find_app", "find_app"),
            **names_of(_STATE, "appstr"),
            **names_of("celeriac.utils.url", sanitize_url="redact"),
        },
        missing={"filter_hidden_settings": "use app.conf.table(), which hides passwords"},
    ),
    "celery.apps": Row(),
    "celery.apps.beat": Row(instead="use app.Beat(), or the command celeriac beat"),
    "celery.apps.multi": Row(None, names_of("celeriac.cli.nodes", "Node"), missing={"Cluster": "use celeriac multi"}),
    "celery.apps.worker": Row(None, names_of("celeriac.worker.assembly", "Worker")),
    # ---- workflows, results, times
    "celery.canvas": Row(
        None,
        {
            **_CANVAS,
            **names_of("celeriac.canvas", _chain="chain", _chord="chord"),
            **names_of("celeriac.app.shared", "current_app"),
        },
    ),
    "celery.exceptions": Row("celeriac.exceptions"),
    "celery.result": Row("celeriac.result"),
    "celery.schedules": Row("celeriac.schedules"),
    "celery.signals": Row("celeriac.signals"),
    "celery.states": Row("celeriac.states"),
    "celery.beat": Row("celeriac.beat", missing={"BeatPidbox": "beat cannot be reached by remote control"}),
    "celery.local": Row("celeriac.compat.local"),
    "celery.platforms": Row(
        "celeriac.compat.platforms",
        names_of("celeriac.cli.errors", "EX_FAILURE", "EX_OK", "EX_UNAVAILABLE", "EX_USAGE"),
    ),
    "celery.bootsteps": Row("celeriac.bootsteps"),
    "celery.contrib": Row(),
    "celery.contrib.abortable": Row("celeriac.contrib.abortable"),
    "celery.contrib.django": Row(),
    "celery.contrib.django.task": Row("celeriac.contrib.django.task"),
    "celery.contrib.migrate": Row("celeriac.contrib.migrate"),
    "celery.contrib.pytest": Row("celeriac.contrib.pytest"),
    "celery.contrib.rdb": Row("celeriac.contrib.rdb"),
    "celery.contrib.sphinx": Row("celeriac.contrib.sphinx"),
    "celery.contrib.testing": Row(),
    "celery.contrib.testing.app": Row("celeriac.contrib.testing.app"),
    "celery.contrib.testing.tasks": Row("celeriac.contrib.testing.tasks"),
    "celery.contrib.testing.worker": Row("celeriac.contrib.testing.worker"),
    "celery.fixups": Row(),
    "celery.fixups.django": Row("celeriac.fixups.django"),
    "celery.security": Row("celeriac.security"),
    "celery.security.certificate": Row("celeriac.security.certificate"),
    "celery.security.key": Row("celeriac.security.key"),
    "celery.security.serialization": Row("celeriac.security.serialization"),
    "celery.loaders": Row(None, names_of(_LOADERS, "get_loader_cls")),
    "celery.loaders.app": Row(None, names_of(_LOADERS, "AppLoader")),
    "celery.loaders.base": Row(None, names_of(_LOADERS, "BaseLoader")),
    "celery.loaders.default": Row(None, names_of(_LOADERS, "Loader")),
    # ---- events
    "celery.events": Row("celeriac.events", _EVENT),
    "celery.events.cursesmon": Row(instead="use the command celeriac events"),
    "celery.events.dispatcher": Row("celeriac.events.dispatcher"),
    "celery.events.dumper": Row("celeriac.events.dumper"),
    "celery.events.event": Row(None, _EVENT),
    "celery.events.receiver": Row("celeriac.events.receiver"),
    "celery.events.snapshot": Row("celeriac.events.snapshot"),
    "celery.events.state": Row("celeriac.events.state"),
    # ---- stores and pools
    "celery.backends": Row(None, {}, missing=dict.fromkeys(("get_backend_by_url", "get_backend_cls"), _STORES)),
    "celery.backends.base": Row(
        "celeriac.compat.backends",
        names_of("celeriac.serialization.failures", "UnpickleableExceptionWrapper"),
    ),
    "celery.concurrency": Row(
        None, names_of(_STATE, "get_available_pool_names"), missing={"get_implementation": _POOLS}
    ),
    "celery.concurrency.base": Row(instead=_POOLS),
    "celery.concurrency.prefork": Row(instead=_POOLS),
    # ---- the command line
    "celery.bin": Row(),
    "celery.bin.celery": Row(None, names_of("celeriac.cli.main", "main", celery="cli")),
    "celery.bin.amqp": Row(None, names_of("celeriac.cli.amqp", "amqp")),
    "celery.bin.base": Row(
        None,
        {
            **names_of("celeriac.cli.errors", "EX_UNAVAILABLE"),
            **names_of("celeriac.cli.state", CLIContext="State"),
            **names_of(
                "celeriac.cli.options",
                "COMMA_SEPARATED_LIST",
                "ISO8601",
                "ISO8601_OR_FLOAT",
                "JSON_ARRAY",
                "JSON_OBJECT",
                "LOG_LEVEL",
                "LogLevel",
                CeleryCommand="Command",
                CeleryOption="Option",
                CommaSeparatedList="CommaSeparated",
                ISO8601DateTime="Iso8601",
                ISO8601DateTimeOrFloat="Iso8601OrSeconds",
            ),
        },
    ),
    "celery.bin.beat": Row(None, names_of("celeriac.cli.beat", "beat")),
    "celery.bin.call": Row(None, names_of("celeriac.cli.admin", "call")),
    "celery.bin.control": Row(None, names_of("celeriac.cli.control", "control", "inspect", "status")),
    "celery.bin.events": Row(None, names_of("celeriac.cli.events", "events")),
    "celery.bin.list": Row(None, names_of("celeriac.cli.admin", "list_")),
    "celery.bin.logtool": Row(None, names_of("celeriac.cli.logtool", "logtool")),
    "celery.bin.migrate": Row(None, names_of("celeriac.cli.migrate", "migrate")),
    "celery.bin.multi": Row(
        None,
        names_of("celeriac.cli.multi", "multi"),
        missing={"MultiTool": "call the command: python -m celery multi …"},
    ),
    "celery.bin.purge": Row(None, names_of("celeriac.cli.admin", "purge")),
    "celery.bin.result": Row(None, names_of("celeriac.cli.admin", "result")),
    "celery.bin.shell": Row(None, names_of("celeriac.cli.shell", "shell")),
    "celery.bin.upgrade": Row(None, names_of("celeriac.cli.upgrade", "upgrade")),
    "celery.bin.worker": Row(None, names_of("celeriac.cli.worker", "worker")),
    # ---- the worker
    "celery.worker": Row(None, names_of("celeriac.worker.assembly", WorkController="Worker")),
    "celery.worker.autoscale": Row(None, names_of("celeriac.worker.autoscale", "Autoscaler")),
    "celery.worker.components": Row(instead=_WORKER),
    "celery.worker.consumer": Row(instead=_WORKER),
    "celery.worker.control": Row("celeriac.worker.control", names_of("celeriac.compat.panel", "Panel")),
    "celery.worker.request": Row(None, names_of("celeriac.compat.request", "Request")),
    "celery.worker.state": Row(instead=f"{_WORKER}; ask it with app.control.inspect()"),
    "celery.worker.strategy": Row(instead=_WORKER),
    "celery.worker.worker": Row(None, names_of("celeriac.worker.assembly", WorkController="Worker")),
    **UTILS,
}
