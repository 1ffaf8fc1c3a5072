"""Logging of workers and tasks: set-up of the root logger, and records that know the running task.

Nothing is configured on import; a worker (or beat) calls `setup_logging` once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final

from celeriac import signals
from celeriac.current import get_current_request, get_current_task

if TYPE_CHECKING:
    from celeriac.current import AppLike

__all__ = ["get_logger", "get_task_logger", "setup_logging"]

_COLORS = {"DEBUG": "\x1b[34m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[35m"}
_RESET = "\x1b[0m"
#: The format that is no pattern: an object a line.
JSON: Final = "json"

base_logger = logging.getLogger("celeriac")
task_logger = logging.getLogger("celeriac.task")


def get_logger(name: str) -> logging.Logger:
    """A logger by name."""
    return logging.getLogger(name)


def get_task_logger(name: str) -> logging.Logger:
    """A logger for use inside tasks: its records carry ``task_name`` and ``task_id``.

    Args:
        name: Usually ``__name__``.
    """
    logger = logging.getLogger(name)
    if logger.parent is logging.root or logger.parent is None:
        logger.parent = task_logger
    return logger


class ColorFormatter(logging.Formatter):
    """Colours a line by its level.

    Args:
        fmt: Format.
        datefmt: ``strftime`` format of the time.
        use_color: Colour at all.
    """

    def __init__(self, fmt: str | None = None, datefmt: str | None = None, use_color: bool = True) -> None:
        super().__init__(fmt, datefmt)
        self.use_color = use_color

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        color = _COLORS.get(record.levelname)
        return f"{color}{text}{_RESET}" if color and self.use_color else text


class TaskFormatter(ColorFormatter):
    """Adds ``task_name`` and ``task_id``, ``???`` outside of a task."""

    def format(self, record: logging.LogRecord) -> str:
        task, request = get_current_task(), get_current_request()
        record.__dict__.update(
            task_name=task.name if task is not None else "???",
            task_id=request.id if request is not None and request.id else "???",
        )
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: what is always there, the task where one runs, and what ``extra=`` added."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.processName,
            "pid": record.process,
        }
        task, request = get_current_task(), get_current_request()
        if task is not None:
            fields["task"] = task.name
        if request is not None and request.id:
            fields["task_id"] = request.id
        if record.exc_info and record.exc_info[0] is not None:
            fields["exc_type"] = record.exc_info[0].__name__
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        fields |= {name: value for name, value in record.__dict__.items() if name not in _RECORD and name not in fields}
        return json.dumps(fields, default=repr, ensure_ascii=False)


#: What every record has.
_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def _formatter(kind: type[ColorFormatter], fmt: str, datefmt: str | None, colorize: bool) -> logging.Formatter:
    return JsonFormatter() if fmt == JSON else kind(fmt, datefmt, colorize)


def setup_logging(
    app: AppLike,
    *,
    loglevel: int | str = logging.WARNING,
    logfile: str | None = None,
    colorize: bool | None = None,
    fmt: str | None = None,
) -> bool:
    """Configure the root logger for a worker, unless a ``setup_logging`` receiver does.

    Args:
        app: The application, for ``worker_log_*`` settings.
        loglevel: Level, by number or name.
        logfile: Path; None is stderr.
        colorize: None colours when stderr is a terminal.
        fmt: Replaces ``worker_log_format``.

    Returns:
        A receiver did.
    """
    conf = app.conf
    level = logging.getLevelName(loglevel.upper()) if isinstance(loglevel, str) else loglevel
    if colorize is None:
        colorize = conf.worker_log_color
    if colorize is None:
        colorize = logfile is None and sys.stderr.isatty()
    logging.captureWarnings(True)
    fmt = fmt or conf.worker_log_format
    arguments = {"loglevel": level, "logfile": logfile, "format": fmt, "colorize": colorize}
    if signals.setup_logging.send(sender=None, **arguments):
        return True
    root = logging.getLogger()
    if conf.worker_hijack_root_logger:
        for handler in list(root.handlers):
            root.removeHandler(handler)
    if not root.handlers:
        root.addHandler(make_handler(logfile, _formatter(ColorFormatter, fmt, conf.worker_log_datefmt, bool(colorize))))
    root.setLevel(level)
    signals.after_setup_logger.send(sender=None, logger=root, **arguments)
    # Half a log in JSON is of no use.
    setup_task_logger(app, loglevel=level, logfile=logfile, colorize=bool(colorize), fmt=JSON if fmt == JSON else None)
    return False


def setup_task_logger(
    app: AppLike, *, loglevel: int | str, logfile: str | None, colorize: bool, fmt: str | None = None
) -> logging.Logger:
    """Configure the logger of tasks; returns it.

    Args:
        app: The application, for ``worker_task_log_*`` settings.
        loglevel: Level, by number or name.
        logfile: Path; None is stderr.
        colorize: Colour.
        fmt: Replaces ``worker_task_log_format``.
    """
    conf = app.conf
    level = logging.getLevelName(loglevel.upper()) if isinstance(loglevel, str) else loglevel
    for handler in list(task_logger.handlers):
        task_logger.removeHandler(handler)
        if isinstance(handler, logging.FileHandler):
            handler.close()
    fmt = fmt or conf.worker_task_log_format
    formatter = _formatter(TaskFormatter, fmt, conf.worker_task_log_datefmt, colorize)
    task_logger.addHandler(make_handler(logfile, formatter))
    task_logger.setLevel(level)
    task_logger.propagate = False
    signals.after_setup_task_logger.send(
        sender=None, logger=task_logger, loglevel=level, logfile=logfile, format=fmt, colorize=colorize
    )
    return task_logger


def make_handler(logfile: str | None, formatter: logging.Formatter) -> logging.Handler:
    """What writes to a file, or to standard error."""
    handler: logging.Handler
    if logfile is None:
        handler = logging.StreamHandler(sys.__stderr__)
    else:
        from logging.handlers import WatchedFileHandler

        handler = WatchedFileHandler(logfile, encoding="utf-8")
    handler.setFormatter(formatter)
    return handler


class LoggingProxy:
    """A text stream that logs every line written to it.

    Args:
        logger: Where lines go.
        level: Their level.
    """

    encoding = "utf-8"
    closed = False

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self._logger = logger
        self._level = level
        self._inside = False

    def write(self, text: str) -> int:
        """Log what is not blank. A handler that prints must not end up here again."""
        if not self._inside and text.strip():
            self._inside = True
            try:
                for line in text.rstrip("\n").split("\n"):
                    self._logger.log(self._level, "%s", line)
            finally:
                self._inside = False
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Log several lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is buffered."""

    def isatty(self) -> bool:
        """It is no terminal."""
        return False

    def fileno(self) -> int:
        """The file descriptor beneath, for code that insists on one."""
        stream: IO[str] | None = sys.__stderr__
        return stream.fileno() if stream is not None else 2


def redirect_stdouts(level: str | int = "WARNING") -> None:
    """Send what tasks print to the logger ``celeriac.redirected``."""
    number = logging.getLevelName(level) if isinstance(level, str) else level
    proxy = LoggingProxy(logging.getLogger("celeriac.redirected"), number)
    sys.stdout = proxy
    sys.stderr = proxy
    os.environ["CELERY_LOG_REDIRECT"] = "1"
    os.environ["CELERY_LOG_REDIRECT_LEVEL"] = str(level)
