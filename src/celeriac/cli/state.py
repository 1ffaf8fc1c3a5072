"""What the global options say, carried to the commands as ``ctx.obj``.  Finding the app is `find_app`'s job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celeriac.current import get_current_app
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from celeriac.app.base import Celery

#: Set for a process that `--detach` started anew: it is detached already.
DETACHED_VARIABLE = "CELERIAC_DETACHED"


@dataclass
class State:
    """The invocation as a whole; plug-in commands read it too.

    Attributes:
        argv: The arguments.
        given_app: The app, when one was named or bound; see `app`.
        app_name: What ``-A`` named.
        bound: The command line was started by an app (`Celery.start`).
        quiet: Say only what was asked for.
        no_color: Never colour.
        workdir: What ``--workdir`` named.
    """

    argv: list[str] = field(default_factory=list)
    given_app: Celery | None = None
    app_name: str | None = None
    bound: bool = False
    quiet: bool = False
    no_color: bool = False
    workdir: str | None = None

    @property
    def app(self) -> Celery:
        """The app that was named; else the default one, which knows only the built-in tasks."""
        if self.given_app is None:
            app: Any = get_current_app()
            return app  # type: ignore[no-any-return]
        return self.given_app

    def echo(self, message: object = "", **kwargs: Any) -> None:
        """Print to stdout."""
        click.echo(message, color=False if self.no_color else None, **kwargs)

    def error(self, message: object = "", **kwargs: Any) -> None:
        """Print to stderr."""
        click.echo(message, err=True, color=False if self.no_color else None, **kwargs)
