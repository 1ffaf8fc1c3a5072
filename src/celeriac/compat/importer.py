"""Serves modules of Celery, and of kombu where there is none, by the table of `names`.

The finder is small: the table is loaded when such a module is first imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from celeriac.config.settings import assume_celery_defaults
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, FrameType

__all__ = ["Facade", "install", "is_installed", "open_for_project", "take_place", "uninstall"]

#: Set to a true value: our kombu is used even where the original is installed.
KOMBU_VARIABLE: Final = "CELERIAC_KOMBU"
#: The distributions that can be served; beside Celery, those whose originals lack what stands here.
_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "celery": (),
    "kombu": ("kombu", "vine", "amqp"),
    "billiard": ("billiard",),
}
#: Modules of the originals that get to know us.
_GUARDED: Final = frozenset({"billiard.einfo", "billiard.pool", "kombu.exceptions"})
_SITE: Final = ("site-packages", "dist-packages")


class Facade(ModuleType):
    """A module of Celery: each name is taken from where it lives here, when it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        from celeriac.compat.names import find

        value = find(self.__name__, name)
        if name == "Celery":
            # Not kept: who asks decides about defaults.
            _finder.class_taken(sys._getframe(1))
        else:
            self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        from celeriac.compat.names import row_of

        # A submodule that has the name of a function of its package stays out of the way, as in the original.
        row = row_of(self.__name__) if type(value) is Facade else None
        if row is None or name not in row.names:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__getattr__("__all__")})


class _Loader:
    """Makes `Facade` modules."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Facade(spec.name, f"Celeriac under the name {spec.name}.")

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""

    def get_code(self, fullname: str) -> CodeType:
        """For ``python -m celery``: the code of our own program."""
        if fullname != "celery.__main__":
            raise ImportError(f"{fullname} is no program", name=fullname)
        return compile("from celeriac.cli.main import main\nmain()", "<celery>", "exec")


class Finder:
    """The one meta-path finder.

    Attributes:
        project: None: apps have Celery's defaults. A text: those made by code of this package, or by any code that
            is not installed among libraries, have.
        stand_ins: Files of the packages that called `take_place`.
    """

    def __init__(self) -> None:
        self.project: str | None = None
        self.stand_ins: dict[str, str] = {}
        self._decided: dict[str, bool] = {"celery": True}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Our module of that name, or None where the original is to be used."""
        root = fullname.partition(".")[0]
        if root not in _NEEDS:
            return None
        if not self._is_ours(root):
            if fullname == "kombu.serialization":
                importlib.import_module("celeriac.compat.kombu.original").share_serializers()
            return _original_spec(fullname, path) if fullname in _GUARDED else None
        from celeriac.compat.names import explain_module, is_package, row_of

        if row_of(fullname) is None:
            raise ModuleNotFoundError(explain_module(fullname), name=fullname)
        loader: Any = _Loader()
        spec = ModuleSpec(fullname, loader, origin="celeriac.compat", is_package=is_package(fullname))
        if fullname in self.stand_ins:
            # Where its stubs are, and its mark as a distribution.
            spec.origin, spec.has_location = self.stand_ins[fullname], True
        return spec

    def find_distributions(self, context: Any = None) -> Iterator[Any]:
        """The mark of Celery as a distribution, for those who ask for it by name."""
        if getattr(context, "name", None) == "celery":
            from importlib.metadata import PathDistribution
            from pathlib import Path

            yield from map(PathDistribution, Path(__file__).with_name("shim").glob("celery-*.dist-info"))

    def _is_ours(self, root: str) -> bool:
        known = self._decided.get(root)
        if known is None:
            module = sys.modules.get(root)
            known = type(module) is Facade if module is not None else not is_usable(root)
            self._decided[root] = known
        return known

    def decide(self, root: str) -> None:
        """Serve ``root`` from now on."""
        self._decided[root] = True

    def class_taken(self, frame: FrameType | None) -> None:
        """Somebody took the class of apps out of ``celery``."""
        if self.project is None:
            return
        while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        if frame is not None and self._is_of_project(frame):
            assume_celery_defaults(True)

    def _is_of_project(self, frame: FrameType) -> bool:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] == self.project:
            return True
        return not any(f"/{part}/" in frame.f_code.co_filename for part in _SITE)


def _original_spec(fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
    from celeriac.compat.originals import find_spec

    return find_spec(fullname, path)


_finder = Finder()


def is_usable(root: str) -> bool:
    """Whether the original of a distribution beside Celery is installed with what it needs, and wanted."""
    if os.environ.get(KOMBU_VARIABLE, "") not in ("", "0"):
        return False
    return all(next(_originals(name), None) is not None for name in _NEEDS[root])


def _originals(name: str) -> Iterator[ModuleSpec]:
    """Where a top-level module is found on the path, but for places that would ask us again."""
    for entry in sys.path:
        spec = PathFinder.find_spec(name, [entry])
        # The file marks packages that call `take_place`. (pathlib is heavy.)
        if spec is not None and spec.loader is not None and not os.path.exists(f"{entry}/{name}/celeriac.txt"):  # noqa: PTH110
            yield spec


def is_installed() -> bool:
    """Whether the door is open in this process."""
    return _finder in sys.meta_path


def install() -> None:
    """Let ``celery`` be Celeriac in this process from now on; doing it again changes nothing.

    Apps made from now on have Celery's defaults, unless their setting ``celery_defaults`` is False.

    Raises:
        ImproperlyConfigured: Celery itself was imported already.
    """
    _insert()
    _finder.project = None
    assume_celery_defaults(True)


def _insert() -> None:
    original = sys.modules.get("celery")
    if original is not None and type(original) is not Facade:
        raise ImproperlyConfigured(
            f"celery {getattr(original, '__version__', '')} was imported already, from {_place(original)}: call "
            "celeriac.compat.install() before anything imports it, or start the program with "
            "`celeriac exec -- COMMAND`"
        )
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "memory"


def open_for_project(name: str) -> None:
    """Open the door for ``-A name``, where nobody imported Celery yet.

    Celery's defaults are for apps of code that takes the class from ``celery``.

    Args:
        name: As given to ``-A``.
    """
    original = sys.modules.get("celery")
    if is_installed() or (original is not None and type(original) is not Facade):
        return
    _insert()
    _finder.project = name.partition(":")[0].partition(".")[0]


def take_place(name: str) -> None:
    """Let a package on the path that stands in for ``celery`` or ``kombu`` be Celeriac.

    Where the package stands in for kombu and the original is installed too, it is that.

    Args:
        name: Name of the package, which is being imported.
    """
    standing_in = sys.modules.pop(name, None)
    try:
        install()
        if name != "celery" and is_usable(name):
            _load_original(name)
        else:
            _finder.decide(name)
            if standing_in is not None:
                _finder.stand_ins[name] = _place(standing_in)
            importlib.import_module(name)
    except BaseException:
        if standing_in is not None:
            sys.modules[name] = standing_in
        raise


def _load_original(name: str) -> None:
    spec = next(_originals(name))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except BaseException:
        del sys.modules[name]
        raise


def uninstall() -> None:
    """Close the door: what was imported through it stays with those who have it."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for name in [name for name, module in sys.modules.items() if type(module) is Facade]:
        del sys.modules[name]
    _finder.__init__()  # type: ignore[misc]
    assume_celery_defaults(False)
