"""Makes an app fit in with Django: its tasks, its models, its connections to databases and caches.

It is applied where the environment has ``DJANGO_SETTINGS_MODULE``. Django itself is set up when a worker, or whatever
else needs the tasks, imports them.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from celeriac import signals
from celeriac.current import get_current_app
from celeriac.exceptions import FixupWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.app.base import Celery

__all__ = ["DjangoFixup", "DjangoWorkerFixup", "fixup"]

logger = logging.getLogger("celeriac.django")

TASK_CLASS: Final = "celeriac.contrib.django.task:DjangoTask"
#: Connections of the parent, in a forked child: closing them would end the parent's.
_inherited: list[Any] = []


def fixup(app: Celery, env: str = "DJANGO_SETTINGS_MODULE") -> DjangoFixup | None:
    """Make an app fit in, if the environment tells of Django; returns what did.

    Args:
        app: The app.
        env: Variable that names the settings of the project.
    """
    module = os.environ.get(env)
    if not module:
        return None
    if find_spec("django") is None:
        warnings.warn(
            f"{env} is {module!r}, but Django is not installed: tasks run without its models and settings",
            FixupWarning,
            stacklevel=2,
        )
        return None
    return DjangoFixup(app).install()


class DjangoFixup:
    """The app's part.

    Args:
        app: The app.
    """

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.worker_fixup = DjangoWorkerFixup(app)

    def install(self) -> DjangoFixup:
        """Begin."""
        here = os.getcwd()  # noqa: PTH109 - every process of a project comes here
        if here not in sys.path and "" not in sys.path:
            sys.path.insert(0, here)
        self.app.use_task_class(TASK_CLASS)
        signals.import_modules.connect(self.on_import_modules, sender=self.app)
        signals.worker_init.connect(self.on_worker_init)
        signals.worker_process_init.connect(self.on_worker_process_init)
        return self

    def autodiscover_tasks(self) -> list[str]:
        """The packages of the installed apps."""
        from django.apps import apps

        return [config.name for config in apps.get_app_configs()]

    def on_import_modules(self, **_: Any) -> None:
        """Set Django up before the modules that use it are imported."""
        self.worker_fixup.validate_models()

    def on_worker_init(self, sender: Any = None, **_: Any) -> None:
        """Look after connections from now on."""
        if sender is None or sender.app is self.app:
            self.worker_fixup.install()

    def on_worker_process_init(self, **_: Any) -> None:
        """Look after connections in a child that imported the app instead of being forked with it."""
        if not self.worker_fixup.installed and get_current_app() is self.app:
            self.worker_fixup.install()


class DjangoWorkerFixup:
    """The worker's part: no connection outlives what Django's settings allow, and none is shared by processes.

    Args:
        app: The app.

    Attributes:
        installed: It does so in this process.
    """

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.installed = False
        self._uses = self._reuse = 0
        self._pid = os.getpid()

    def validate_models(self) -> None:
        """Set Django up and run its system checks, unless ``CELERY_SKIP_CHECKS`` is set."""
        import django
        from django.core import checks

        django.setup()
        if os.environ.get("CELERY_SKIP_CHECKS"):
            return
        for message in checks.run_checks():
            logger.log(message.level, "System check: %s", message)

    def install(self) -> None:
        """Begin; call before the worker forks."""
        self.installed = True
        self._pid = os.getpid()
        self._reuse = int(self.app.conf.get("CELERY_DB_REUSE_MAX") or self.app.conf.get("DB_REUSE_MAX") or 0)
        # What the imports opened is not to be inherited.
        self.close_all()
        signals.worker_process_init.connect(self.on_worker_process_init)
        signals.task_prerun.connect(self.on_task_prerun)
        signals.task_postrun.connect(self.on_task_postrun)
        signals.worker_shutdown.connect(self.on_worker_shutdown)

    def on_worker_shutdown(self, sender: Any = None, **_: Any) -> None:
        """Look after connections no longer."""
        if sender is not None and sender.app is not self.app:
            return
        self.installed = False
        signals.worker_process_init.disconnect(self.on_worker_process_init)
        signals.task_prerun.disconnect(self.on_task_prerun)
        signals.task_postrun.disconnect(self.on_task_postrun)
        signals.worker_shutdown.disconnect(self.on_worker_shutdown)
        self.close_all()

    def on_worker_process_init(self, **_: Any) -> None:
        """Let go of connections that are the parent's, without ending them."""
        if os.getpid() == self._pid:
            return
        for connection in _connections():
            if connection.connection is not None:
                _inherited.append(connection.connection)
                connection.connection = None

    def on_task_prerun(self, sender: Any, **_: Any) -> None:
        """Begin with connections that work."""
        if self._is_ours(sender):
            self.close_database()

    def on_task_postrun(self, sender: Any, **_: Any) -> None:
        """Leave none open that is too old."""
        if self._is_ours(sender):
            self.close_database()
            self.close_cache()

    def _is_ours(self, task: Any) -> bool:
        """The task is one of this app, and does not run within something else that uses the connections."""
        return task.app is self.app and not task.request.is_eager

    def close_database(self) -> None:
        """Close connections that are broken or older than ``CONN_MAX_AGE``; with ``DB_REUSE_MAX`` only now and then."""
        if self._reuse:
            self._uses += 1
            if self._uses <= self._reuse * 2:
                return
            self._uses = 0
        for connection in _connections():
            connection.close_if_unusable_or_obsolete()

    def close_cache(self) -> None:
        """Close connections to caches."""
        from django.core.cache import close_caches

        close_caches()

    def close_all(self) -> None:
        """Close every connection of this thread, and pools of connections."""
        for connection in _connections():
            connection.close()
            close_pool = getattr(connection, "close_pool", None)
            if close_pool is not None:
                close_pool()
        self.close_cache()


def _connections() -> Iterator[Any]:
    """The connections that this thread has used."""
    from django.db import connections

    yield from connections.all(initialized_only=True)
