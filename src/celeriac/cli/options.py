"""Types of options, options that commands share, and the commands' help: sections and examples."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from celeriac.cli.find_app import read_settings
from celeriac.signals import user_preload_options
from celeriac.utils.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.cli.state import State

    ParamType = click.ParamType[Any]
    Choice = click.Choice[str]
else:
    # Generic in newer releases of click only.
    ParamType, Choice = click.ParamType, click.Choice

F = TypeVar("F", bound="Callable[..., Any] | click.Command")

#: Likeness, from 0 to 1, from which the name of a command counts as a slip of another.
_SIMILARITY = 0.5
#: Section of options that name none.
OTHER = "Options"
#: Options that belong before the command; met after it, their place is explained.
GLOBAL_OPTIONS = {
    "-A": "-A APP",
    "--app": "--app APP",
    "-b": "-b URL",
    "--broker": "--broker URL",
    "--result-backend": "--result-backend URL",
    "--loader": "--loader NAME",
    "--config": "--config MODULE",
    "--workdir": "--workdir PATH",
    "-C": "-C",
    "--no-color": "--no-color",
    "-q": "-q",
    "--quiet": "--quiet",
}
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")


# ---------------------------------------------------------------------------------------------------- types


class LogLevel(Choice):
    """A level of logging, in either case."""

    name = "level"

    def __init__(self) -> None:
        super().__init__(LOG_LEVELS, case_sensitive=False)


class CommaSeparated(ParamType):
    """``a,b,c``."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        return [part.strip() for part in str(value).split(",") if part.strip()]


class Json(ParamType):
    """JSON text of one kind.

    Args:
        kind: What it has to hold: `list` or `dict`.
        what: Name of that in JSON.
        example: One, for the message.
    """

    name = "json"

    def __init__(self, kind: type, what: str, example: str) -> None:
        self.kind = kind
        self.what = what
        self.example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, self.kind):
            return value
        try:
            found = json.loads(value)
        except ValueError as exc:
            self.fail(f"{value!r} is not JSON ({exc}); write for example {self.example}", param, ctx)
        if not isinstance(found, self.kind):
            self.fail(f"{value!r} is not a JSON {self.what}; write for example {self.example}", param, ctx)
        return found


class Iso8601(ParamType):
    """A point in time, as ISO 8601."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 time; write for example 2030-12-31T23:59:00+00:00", param, ctx)


class Iso8601OrSeconds(Iso8601):
    """A point in time, or a number of seconds from now."""

    name = "time|seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return float(value)
        except (TypeError, ValueError):
            return super().convert(value, param, ctx)


LOG_LEVEL = LogLevel()
COMMA_SEPARATED_LIST = CommaSeparated()
JSON_ARRAY = Json(list, "array", "'[2, 3]'")
JSON_OBJECT = Json(dict, "object", """'{"x": 2}'""")
ISO8601 = Iso8601()
ISO8601_OR_FLOAT = Iso8601OrSeconds()


# ------------------------------------------------------------------------------------------------- commands


_RANGE = re.compile(r"\s+\[[\d<=.]*x[\d<>=.]*\]$")


class Option(click.Option):
    """An option that belongs to a section of the help.

    Args:
        section: The section.
    """

    def __init__(self, *args: Any, section: str = OTHER, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Without click's ``[x>=1]``: the bound is in the error message, where it is of use."""
        record = super().get_help_record(ctx)
        return None if record is None else (record[0], _RANGE.sub("", record[1]))


def option(*names: str, section: str = OTHER, **kwargs: Any) -> Callable[[F], F]:
    """Decorator: an `Option`."""
    return click.option(*names, cls=Option, section=section, **kwargs)


def json_option(what: str) -> Callable[[F], F]:
    """Decorator: ``--json``, for scripts.

    Args:
        what: What is printed as JSON.
    """
    return option("--json", "-j", "as_json", is_flag=True, help=f"Print {what} as JSON.")


class Formatter(click.HelpFormatter):
    """Help with bold headings; click removes the style where there is no terminal."""

    def write_heading(self, heading: str) -> None:
        self.write(click.style(f"{'':>{self.current_indent}}{heading}:", bold=True) + "\n")


class Context(click.Context):
    """A context whose help is formatted by `Formatter`."""

    formatter_class = Formatter


class HelpMixin:
    """Help in sections, with examples after the description.

    Attributes:
        examples: Pairs of a command line and what it does.
    """

    context_class: type[click.Context] = Context
    examples: Sequence[tuple[str, str]] = ()

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)  # type: ignore[misc]
        if self.examples:
            with formatter.section("Examples"):
                formatter.write_dl([(line, what) for line, what in self.examples], col_max=52)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):  # type: ignore[attr-defined]
            # Arguments are in the usage line, and said what they are for in the description.
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                default = "Options of the application" if _is_user_option(self, param) else OTHER
                sections.setdefault(getattr(param, "section", default), []).append(record)
        for title in [name for name in sections if name != OTHER] + [name for name in sections if name == OTHER]:
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _is_user_option(command: Any, param: click.Parameter) -> bool:
    return param not in command.params and "--help" not in param.opts


class Command(HelpMixin, click.Command):
    """A command of ours: its help, the app's own options, and an explanation for options in the wrong place.

    Args:
        examples: Pairs of a command line and what it does.
    """

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *self._user_options(ctx, "preload"), *self._user_options(ctx, self.name)]

    def _user_options(self, ctx: click.Context, kind: str | None) -> list[click.Parameter]:
        state: State | None = ctx.obj
        app = getattr(state, "given_app", None)
        if app is None or kind is None:
            return []
        return sorted(app.user_options.get(kind, ()), key=lambda param: str(param.name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as exc:
            place = GLOBAL_OPTIONS.get(exc.option_name)
            if place is None:
                raise
            root = ctx.find_root().info_name
            raise click.UsageError(
                f"{exc.option_name} is an option of {root} as a whole and goes before the command: "
                f"{root} {place} {ctx.info_name} ...",
                ctx,
            ) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Read the settings; hand the app's own options to their signal, and the rest to the command."""
        if ctx.obj is not None:
            read_settings(ctx.obj.app)
        own = {param.name for param in self.params}
        preload = self._user_options(ctx, "preload")
        values = {str(param.name): ctx.params[str(param.name)] for param in preload}
        if preload:
            user_preload_options.send(sender=self.callback, app=ctx.obj.app, options=values)
        for name in values.keys() - own:
            del ctx.params[name]
        return super().invoke(ctx)


class Group(HelpMixin, click.Group):
    """Commands under one name: help in sections, and suggestions for a command that does not exist."""

    context_class = Context
    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(self.explain_unknown(ctx, args[0]), ctx)
        return super().resolve_command(ctx, args)

    def explain_unknown(self, ctx: click.Context, name: str) -> str:
        """What to say of a command that does not exist."""
        known = self.list_commands(ctx)
        close = closest(name, known, _SIMILARITY)
        if close is not None:
            return f"There is no command {name!r}. Did you mean {close!r}?"
        return f"There is no command {name!r}. There are: {', '.join(known)}."

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


def command(name: str, **kwargs: Any) -> Callable[[Callable[..., Any]], Command]:
    """Decorator: a `Command`."""
    return click.command(name, cls=Command, **kwargs)


def print_json(value: object) -> None:
    """Print a value for scripts; what JSON cannot say becomes its text."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))
