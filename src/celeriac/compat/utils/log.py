"""Names of ``celery.utils.log``."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from celeriac.log import ColorFormatter, LoggingProxy, get_logger, get_task_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "LOG_LEVELS",
    "ColorFormatter",
    "LoggingProxy",
    "base_logger",
    "get_logger",
    "get_multiprocessing_logger",
    "get_task_logger",
    "logger_isa",
    "mlevel",
    "task_logger",
    "worker_logger",
]

#: Numbers by name, and names by number.
LOG_LEVELS: dict[Any, Any] = {}
for _name in ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"):
    LOG_LEVELS[_name] = getattr(logging, _name)
    LOG_LEVELS.setdefault(getattr(logging, _name), _name)

base_logger = logging.getLogger("celeriac")
task_logger = logging.getLogger("celeriac.task")
worker_logger = logging.getLogger("celeriac.worker")


def mlevel(level: Any) -> Any:
    """A level as a number."""
    return LOG_LEVELS[level.upper()] if level and not isinstance(level, int) else level


def _ancestors(logger: logging.Logger) -> Iterator[logging.Logger]:
    found: logging.Logger | None = logger
    while found is not None:
        yield found
        found = found.parent


def logger_isa(logger: logging.Logger, p: logging.Logger, max: int = 1000) -> bool:
    """Whether a logger is another one, or below it."""
    return any(each is p for each in _ancestors(logger))


def get_multiprocessing_logger() -> logging.Logger | None:
    """The logger of ``multiprocessing``, if somebody uses it."""
    multiprocessing = sys.modules.get("multiprocessing.util")
    return None if multiprocessing is None else multiprocessing.get_logger()
