"""Importing the modules that declare tasks: ``autodiscover_tasks``, ``imports`` and ``include``."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = ["discover", "find_related_module"]


def discover(packages: Iterable[str], related_name: str | None) -> list[ModuleType]:
    """Import the module ``related_name`` of each package that has one.

    Args:
        packages: Names of packages.
        related_name: Name of the module in each; None or empty imports the packages themselves.

    Raises:
        ImportError: A package does not exist, or a module that exists fails to import something.
    """
    found = (find_related_module(package, related_name) for package in packages)
    return [module for module in found if module is not None]


def find_related_module(package: str, related_name: str | None) -> ModuleType | None:
    """Import a module of a package; None when the package has none of that name.

    A ``package`` that is no module is taken as the dotted path of an object in one, as Django's app configs are.
    """
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as exc:
        parent = package.rpartition(".")[0]
        if not parent or exc.name != package:
            raise
        package = parent
        module = importlib.import_module(package)
    if not related_name:
        return module
    name = f"{package}.{related_name}"
    if not hasattr(module, "__path__") or find_spec(name) is None:
        return None
    return importlib.import_module(name)
