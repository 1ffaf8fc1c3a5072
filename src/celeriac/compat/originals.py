"""billiard and kombu themselves, where they are installed: some modules get to know Celeriac when they are imported."""

from __future__ import annotations

import functools
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, Final

from celeriac.compat.billiard.worker import ENDED, tell
from celeriac.exceptions import OperationalError
from celeriac.serialization.einfo import ExceptionInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["find_spec"]


def _guard_pool(module: Any) -> None:
    """Let the loop of its worker know that a child of ours has ended."""
    original = module.Worker.workloop

    @functools.wraps(original)
    def workloop(worker: Any, *args: Any, **options: Any) -> Any:
        return 0 if worker is ENDED else original(worker, *args, **options)

    module.Worker.workloop = workloop
    tell(module.Worker)


def _guard_einfo(module: Any) -> None:
    """Let ``isinstance(einfo, ExceptionInfo)`` be true of what our signals and handlers give as ``einfo``."""
    original = module.ExceptionInfo

    class Meta(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, (original, ExceptionInfo))

    module.ExceptionInfo = Meta(original.__name__, (original,), {"__module__": module.__name__})


def _guard_errors(module: Any) -> None:
    """Let ``except kombu.exceptions.OperationalError`` catch what publishing raises here."""
    module.OperationalError = OperationalError


_GUARDS: Final[dict[str, Callable[[ModuleType], None]]] = {
    "billiard.pool": _guard_pool,
    "billiard.einfo": _guard_einfo,
    "kombu.exceptions": _guard_errors,
}


def find_spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """How to import a module of theirs; None where there is nothing to add to it."""
    spec = PathFinder.find_spec(name, path) if name in _GUARDS else None
    if spec is not None:
        loader: Any = _Guarding(spec.loader, _GUARDS[name])
        spec.loader = loader
    return spec


class _Guarding:
    """Loads a module, and then changes it."""

    def __init__(self, loader: Any, guard: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._guard = guard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the original's code."""
        self._loader.exec_module(module)
        self._guard(module)
