"""How another interpreter makes the worker's application again: found by its name, imported, given its settings.

It starts no process.  What an application is made of cannot travel (functions, locks, connections); where its module
is, and what was changed after its import, can.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import pickle
import sys
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ImproperlyConfigured
from celeriac.log import setup_logging
from celeriac.utils.dataclass import dataclass
from celeriac.utils.imports import MAIN, MAIN_ANEW

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from celeriac.app.base import Celery

logger = logging.getLogger(__name__)


@dataclass
class Recipe:
    """An application, by name.

    Attributes:
        module: Module that holds it; ``__main__`` is the program.
        attribute: Its name there.
        main_file: File of the program, where that holds it.
        main_package: Package of the program, where that holds it.
        sys_path: ``sys.path``.
        argv: ``sys.argv``.
        changes: Settings that were changed, each pickled.
        logging: Arguments of `setup_logging`.
    """

    module: str
    attribute: str
    main_file: str | None
    main_package: str | None
    sys_path: list[str]
    argv: list[str]
    changes: dict[str, bytes]
    logging: dict[str, Any]

    def make(self) -> Celery:
        """Import the application into this process, with its tasks, and set logging up.

        Raises:
            Exception: What importing it raises.
        """
        sys.path[:], sys.argv[:] = self.sys_path, self.argv
        module = self._import_main() if self.module == MAIN else importlib.import_module(self.module)
        app: Celery = getattr(module, self.attribute)
        app.conf.update({name: pickle.loads(value) for name, value in self.changes.items()})
        app.finalize()
        app.set_current()
        app.set_default()
        app.import_default_modules()
        setup_logging(app, **self.logging)
        return app

    def _import_main(self) -> ModuleType:
        """Import the program under another name, which its ``if __name__ == "__main__"`` does not know."""
        spec = importlib.util.spec_from_file_location(MAIN_ANEW, self.main_file or "")
        if spec is None or spec.loader is None:
            raise ImportError(f"the program {self.main_file} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        module.__package__ = self.main_package
        sys.modules[MAIN] = sys.modules[MAIN_ANEW] = module
        spec.loader.exec_module(module)
        return module


def describe(app: Celery, why: str, log_arguments: Mapping[str, Any]) -> Recipe:
    """The recipe of an application.

    Args:
        app: The application.
        why: What needs it, for the error.
        log_arguments: Arguments of `setup_logging`.

    Raises:
        ImproperlyConfigured: No module has it under a name.
    """
    module, attribute = _find(app, why)
    main = sys.modules[MAIN]
    changes: dict[str, bytes] = {}
    for name, value in app.conf.changes.items():
        try:
            changes[name] = pickle.dumps(value)
        except Exception as exc:
            # A function without a name, a lock: whatever made it here is imported there.
            logger.debug("Children have the setting %s as their import makes it: %s", name, exc)
    return Recipe(
        module=module,
        attribute=attribute,
        main_file=getattr(main, "__file__", None),
        main_package=getattr(main, "__package__", None),
        sys_path=list(sys.path),
        argv=list(sys.argv),
        changes=changes,
        logging=dict(log_arguments),
    )


def _find(app: Celery, why: str) -> tuple[str, str]:
    """Module and attribute of an application; those of a library come before the program."""
    found = [
        (name, attribute)
        for name, module in list(sys.modules.items())
        for attribute, value in list(getattr(module, "__dict__", {}).items())
        if value is app and name != MAIN_ANEW and name.partition(".")[0] != "celeriac"
    ]
    found.sort(key=lambda place: (place[0] == MAIN, place[0] != app.main, len(place[0])))
    if not found or (found[0][0] == MAIN and not hasattr(sys.modules[MAIN], "__file__")):
        raise ImproperlyConfigured(
            f"{why} starts processes that import the application, but {app!r} is not an attribute of any module "
            "that they could import: assign it to a name in its module, as in `app = Celery(...)`"
        )
    return found[0]
