"""Result backends that are named by their class: ``module:Class``, alone or before a URL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.imports import qualname, symbol_by_name

if TYPE_CHECKING:
    from celeriac.backend.base import BackendOptions, ResultBackend

__all__ = ["named_class", "open_class"]

#: A dotted path with or without a colon, alone or before the URL of the store.
_CLASS: Final = re.compile(r"(?P<path>[A-Za-z_]\w*(?:\.\w+)*[:.][A-Za-z_]\w*)(?:\+(?P<url>[\w+.-]+://.*))?", re.DOTALL)


def named_class(value: str) -> tuple[str, str | None] | None:
    """The path of a class, and the URL that it is made with; None where no class is named."""
    found = _CLASS.fullmatch(value)
    return None if found is None else (found["path"], found["url"])


def open_class(place: Any, url: str | None, options: BackendOptions) -> ResultBackend:
    """Make a result backend of a class.

    Args:
        place: The class, or its dotted path. One that is written for Celery is made with the app, any other with the
            URL and the options, as an entry point is.
        url: Its URL; None has none.
        options: Settings common to all backends.

    Raises:
        ImproperlyConfigured: There is no such class, or it is no result backend.
    """
    try:
        cls = symbol_by_name(place)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ImproperlyConfigured(
            f"result_backend {place!r} cannot be imported ({exc}): give a URL, or a class as module:Class"
        ) from exc
    of_app = getattr(cls, "of_app", None)
    if of_app is None and not hasattr(cls, "load_many"):
        raise ImproperlyConfigured(
            f"result_backend {place!r} is {qualname(cls)}, which is no result backend: it has to implement "
            "celeriac.backend.base.ResultBackend, or inherit from a class of celery.backends.base through the door "
            "(celeriac exec -- COMMAND)"
        )
    made: ResultBackend = cls(url, options) if of_app is None else of_app(url, options)
    return made
