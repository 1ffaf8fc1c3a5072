"""``app.log``: logging, under the names that Celery has for it.  What it does is in `celeriac.log`."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from celeriac.log import ColorFormatter, LoggingProxy, TaskFormatter, make_handler, setup_logging, setup_task_logger

if TYPE_CHECKING:
    from celeriac.app.base import Celery

__all__ = ["Logging", "TaskFormatter"]


class Logging:
    """Configures logging for an app; ``Celery(log=...)`` takes a subclass, which its workers use.

    Args:
        app: The app.

    Attributes:
        already_setup: `setup` was called.
    """

    already_setup = False

    def __init__(self, app: Celery) -> None:
        self.app = app

    @property
    def format(self) -> str:
        """The setting ``worker_log_format``."""
        return str(self.app.conf.worker_log_format)

    @property
    def task_format(self) -> str:
        """The setting ``worker_task_log_format``."""
        return str(self.app.conf.worker_task_log_format)

    def setup(
        self,
        loglevel: int | str | None = None,
        logfile: str | None = None,
        redirect_stdouts: bool = False,
        redirect_level: int | str = "WARNING",
        colorize: bool | None = None,
        hostname: str | None = None,
    ) -> bool:
        """Configure logging, and what is printed.

        Args:
            loglevel: Level, by number or name; None is WARNING.
            logfile: Path; None is standard error.
            redirect_stdouts: Log what is printed, unless somebody else configures logging.
            redirect_level: Level of that.
            colorize: None colours when standard error is a terminal.
            hostname: Node name, for receivers of signals of Celery; not used here.

        Returns:
            Somebody else configures logging: a receiver of the signal ``setup_logging``.
        """
        handled = self.setup_logging_subsystem(loglevel, logfile, colorize=colorize, hostname=hostname)
        if redirect_stdouts and not handled:
            self.redirect_stdouts(redirect_level)
        return handled

    def setup_logging_subsystem(
        self,
        loglevel: int | str | None = None,
        logfile: str | None = None,
        format: str | None = None,
        colorize: bool | None = None,
        hostname: str | None = None,
    ) -> bool:
        """Configure the root logger and that of tasks; the second time does nothing.

        Args:
            loglevel: As for `setup`.
            logfile: As for `setup`.
            format: Replaces ``worker_log_format``.
            colorize: As for `setup`.
            hostname: As for `setup`.

        Returns:
            A receiver of the signal ``setup_logging`` did it instead.
        """
        if self.already_setup:
            return False
        self.already_setup = True
        level = logging.WARNING if loglevel is None else loglevel
        return setup_logging(self.app, loglevel=level, logfile=logfile, colorize=colorize, fmt=format)

    def setup_task_loggers(
        self,
        loglevel: int | str | None = None,
        logfile: str | None = None,
        format: str | None = None,
        colorize: bool | None = None,
        propagate: bool = False,
    ) -> logging.Logger:
        """Configure the logger of tasks; returns it.

        Args:
            loglevel: As for `setup`.
            logfile: As for `setup`.
            format: Replaces ``worker_task_log_format``.
            colorize: As for `setup`.
            propagate: Its records go to the root logger too.
        """
        logger = setup_task_logger(
            self.app, loglevel=logging.WARNING if loglevel is None else loglevel, logfile=logfile,
            colorize=self.supports_color(colorize, logfile), fmt=format,
        )  # fmt: skip
        logger.propagate = propagate
        return logger

    def setup_handlers(
        self,
        logger: logging.Logger,
        logfile: str | None,
        format: str,
        colorize: bool | None,
        formatter: type[ColorFormatter] = ColorFormatter,
    ) -> logging.Logger:
        """Give a logger without handlers one; returns the logger.

        Args:
            logger: The logger.
            logfile: As for `setup`.
            format: Format of a line.
            colorize: As for `setup`.
            formatter: Class of the formatter.
        """
        if not logger.handlers:
            logger.addHandler(make_handler(logfile, formatter(format, None, self.supports_color(colorize, logfile))))
        return logger

    def redirect_stdouts(self, loglevel: int | str | None = None, name: str = "celeriac.redirected") -> None:
        """Log what is printed.

        Args:
            loglevel: Level; None is WARNING.
            name: Of the logger.
        """
        self.redirect_stdouts_to_logger(logging.getLogger(name), loglevel)

    def redirect_stdouts_to_logger(
        self, logger: logging.Logger, loglevel: int | str | None = None, stdout: bool = True, stderr: bool = True
    ) -> LoggingProxy:
        """Log what is printed; returns the stream that does it.

        Args:
            logger: Where to.
            loglevel: Level; None is that of the logger, or WARNING.
            stdout: What is printed to standard output.
            stderr: What is printed to standard error.
        """
        level = logging.getLevelName(loglevel.upper()) if isinstance(loglevel, str) else loglevel
        proxy: Any = LoggingProxy(logger, level or logger.level or logging.WARNING)
        if stdout:
            sys.stdout = proxy
        if stderr:
            sys.stderr = proxy
        return proxy  # type: ignore[no-any-return]

    def supports_color(self, colorize: bool | None = None, logfile: str | None = None) -> bool:
        """Lines are coloured.

        Args:
            colorize: None is ``worker_log_color``, or whether standard error is a terminal.
            logfile: As for `setup`.
        """
        if colorize is None:
            colorize = self.app.conf.worker_log_color
        if colorize is None:
            colorize = logfile is None and not os.environ.get("NO_COLOR") and sys.stderr.isatty()
        return bool(colorize)

    def get_default_logger(self, name: str = "celery", **_: Any) -> logging.Logger:
        """A logger by name."""
        return logging.getLogger(name)
