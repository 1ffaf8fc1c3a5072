from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from celeriac.config import OPTIONS
from celeriac.config.options import GROUPS
from celeriac.config.values import check

# The two defaults written in another way: Celery fills them in where it reads them.
CELERY_DEFAULTS_MADE_EXPLICIT = {"broker_url": "amqp://"}
# Celery declares a string, but the value goes into the message as a number.
TYPES_CORRECTED = {"task_default_priority": "int", "result_compression": "string"}

CELERIAC_DEFAULTS = {
    "broker_url": None,
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "broker_confirm_publish": True,
    "task_graph_inline_max": 2048,
    "task_max_deliveries": 5,
    "worker_proc_alive_timeout": 60.0,
}
READ_BUT_UNDECLARED = {
    "override_backends": {},
    "result_backend_thread_safe": False,
    "redis_backend_health_check_interval": None,
    "redis_backend_credential_provider": None,
    "redis_client_name": None,
    "cassandra_secure_bundle_path": None,
    "gcs_threadpool_maxsize": 10,
    "firestore_project": None,
    "dynamodb_endpoint_url": None,
    "visibility_timeout": None,
    "db_reuse_max": None,
} | {
    f"{command}_{option}": None
    for command in ("worker", "beat", "events")
    for option in ("logfile", "pidfile", "uid", "gid", "umask", "executable")
}
OWN = {
    "celery_defaults": ("bool", False),
    "broker_publish_timeout": ("float", 5.0),
    "broker_confirm_publish": ("bool", True),
    "broker_lease": ("float", 30.0),
    "broker_sweep_interval": ("float", 10.0),
    "task_graph_expires": ("float", 604800.0),
    "task_graph_inline_max": ("int", 2048),
    "task_max_deliveries": ("int", 5),
    "worker_adaptive_prefetch": ("bool", True),
    "worker_http_address": ("string", None),
    "worker_mingle": ("bool", False),
    "worker_prefetch_max_bytes": ("int", 64 << 20),
    "worker_shutdown_grace": ("float", None),
}


class Declared(NamedTuple):
    name: str
    old: str
    type: str
    default: Any


def _declared() -> list[Declared]:
    lines = (Path(__file__).parent / "celery_settings.txt").read_text().splitlines()
    rows = [line.split(" | ", 3) for line in lines if not line.startswith("#")]
    names = {"timedelta": timedelta, "inf": float("inf")}
    return [
        Declared(name, old, kind, eval(default, names))  # noqa: S307 - our own fixture
        for name, old, kind, default in rows
    ]


@pytest.mark.parametrize("row", _declared(), ids=lambda row: row.name)
def test_setting_of_celery_has_its_old_name_type_and_default(row: Declared) -> None:
    option = OPTIONS[row.name]
    expected = CELERY_DEFAULTS_MADE_EXPLICIT.get(row.name, row.default)
    assert option.declared
    assert option.old == row.old
    assert option.type == TYPES_CORRECTED.get(row.name, row.type)
    assert option.default_for(celery=True) == expected
    assert type(option.default_for(celery=True)) is type(expected)


def test_table_declares_nothing_that_celery_does_not() -> None:
    assert {name for name, option in OPTIONS.items() if option.declared} == {row.name for row in _declared()}


def test_defaults_differ_from_celerys_only_where_meant() -> None:
    differing = {
        name: option.default
        for name, option in OPTIONS.items()
        if option.default_for(celery=False) != option.default_for(celery=True)
    }
    assert differing == CELERIAC_DEFAULTS


def test_settings_that_celery_reads_undeclared_are_in_the_table() -> None:
    assert {name: OPTIONS[name].default for name in READ_BUT_UNDECLARED} == READ_BUT_UNDECLARED


def test_own_settings_come_last_with_type_and_default() -> None:
    own = {option.name: (option.type, option.default) for option in GROUPS[-1].options}
    assert own == OWN


def test_rows_are_unique_and_documented() -> None:
    rows = [option for group in GROUPS for option in group.options]
    old = [option.old for option in rows if option.old]
    assert len(rows) == len(OPTIONS)
    assert len(old) == len(set(old))
    assert [option.name for option in rows if not option.doc.endswith(".")] == []


@pytest.mark.parametrize("celery", [False, True])
def test_every_default_passes_its_own_check(celery: bool) -> None:
    for option in OPTIONS.values():
        assert check(option, option.default_for(celery=celery)) == option.default_for(celery=celery)
