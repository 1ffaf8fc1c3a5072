"""Names of ``celery.utils.deprecated``: warnings about one's own old names."""

from __future__ import annotations

import warnings
from functools import wraps
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import CDeprecationWarning, CPendingDeprecationWarning

if TYPE_CHECKING:
    from collections.abc import Callable as Function

__all__ = ["Callable", "Property", "warn"]


def warn(
    description: str | None = None,
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    stacklevel: int = 2,
) -> None:
    """Warn of an old name.

    Args:
        description: What is old.
        deprecation: Since which version.
        removal: With which version it goes; without one it is not decided yet.
        alternative: What to use instead.
        stacklevel: Whose line is shown.
    """
    when = f"scheduled for removal in version {removal}" if removal else f"deprecated since version {deprecation}"
    kind = CDeprecationWarning if removal else CPendingDeprecationWarning
    hint = f". {alternative}" if alternative else ""
    warnings.warn(f"{description} is {when}{hint}", kind, stacklevel=stacklevel + 1)


def Callable(  # noqa: N802 - Celery's name
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    description: str | None = None,
) -> Function[[Any], Any]:
    """Decorator: calling the function warns."""

    def decorate(function: Any) -> Any:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            warn(description or f"{function.__module__}.{function.__qualname__}", deprecation, removal, alternative)
            return function(*args, **kwargs)

        return call

    return decorate


def Property(  # noqa: N802 - Celery's name
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    description: str | None = None,
) -> Function[[Any], property]:
    """Decorator: a property that warns when it is read."""
    wrap = Callable(deprecation, removal, alternative, description)
    return lambda function: property(wrap(function), doc=function.__doc__)
