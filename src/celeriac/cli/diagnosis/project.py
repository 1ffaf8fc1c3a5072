"""The app itself: its settings, its tasks, and what else is installed."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from celeriac._version import __version__
from celeriac.cli.diagnosis.finding import Finding
from celeriac.config.names import near_miss
from celeriac.config.options import OPTIONS
from celeriac.worker.unsupported import REPLACED, WITHOUT_EFFECT

if TYPE_CHECKING:
    from celeriac.app.base import Celery

#: Settings that decide about deliveries, and are other ones under our own name.
_TELLING: Final = (
    "task_acks_late",
    "task_reject_on_worker_lost",
    "broker_confirm_publish",
    "broker_url",
    "result_backend",
    "task_graph_inline_max",
)
#: What is often used beside Celery.
_BESIDE: Final = (
    "celery",
    "celery-redbeat",
    "celery-exporter",
    "django-celery-beat",
    "django-celery-results",
    "flower",
    "opentelemetry-instrumentation-celery",
    "pytest-celery",
    "sentry-sdk",
)


def look(app: Celery) -> list[Finding]:
    """Look at an app whose tasks are imported."""
    return [*_versions(app), *_settings(app), *_defaults(app), *_tasks(app)]


def _versions(app: Celery) -> list[Finding]:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    findings = [Finding("ok", "project", f"app {app.main or '__main__'}, celeriac {__version__}, {python}")]
    beside = {name: found for name in _BESIDE if (found := _installed(name)) is not None}
    if beside:
        listed = ", ".join(f"{name} {number}" for name, number in beside.items())
        findings.append(Finding("note", "project", f"installed beside it: {listed}"))
    return findings


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _settings(app: Celery) -> list[Finding]:
    conf, findings = app.conf, []
    given = conf.table(with_defaults=False, censored=True)
    for name in sorted(given):
        if name in REPLACED:
            findings.append(Finding("problem", "settings", f"{name} = {given[name]!r} is not honoured", REPLACED[name]))
        elif name in WITHOUT_EFFECT:
            findings.append(Finding("note", "settings", f"{name} has no effect: {WITHOUT_EFFECT[name]}"))
        elif name not in OPTIONS and (meant := near_miss(name, conf.namespace)) is not None:
            findings.append(Finding("problem", "settings", f"{name} is no setting", f"did you mean {meant}?"))
    hint = "`celeriac upgrade settings FILE` replaces old names"
    findings.extend(Finding("note", "settings", message, hint) for message in conf.deprecation_messages())
    findings.insert(0, Finding("ok", "settings", f"settings that differ from the defaults: {len(given)}"))
    return findings


def _defaults(app: Celery) -> list[Finding]:
    """Which defaults hold, and what that changes."""
    conf = app.conf
    if conf.celery_defaults:
        return [Finding("ok", "settings", "the defaults are Celery's")]
    other = [
        f"{name} = {conf[name]!r} ({OPTIONS[name].default_for(celery=True)!r})"
        for name in _TELLING
        if name in OPTIONS
        and not conf.value_set_for(name)
        and OPTIONS[name].default_for(celery=True) != OPTIONS[name].default_for(celery=False)
    ]
    text = f"the defaults are Celeriac's own; Celery's in brackets: {', '.join(other)}"
    return [Finding("change", "settings", text, "celery_defaults=True keeps Celery's")]


def _tasks(app: Celery) -> list[Finding]:
    names = [name for name in app.tasks if not name.startswith(("celery.", "celeriac."))]
    if not names:
        hint = "name their modules in include= or imports, or call app.autodiscover_tasks"
        return [Finding("problem", "tasks", "no tasks were found", hint)]
    return [Finding("ok", "tasks", f"tasks: {len(names)}")]
