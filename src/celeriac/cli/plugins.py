"""Commands of other distributions, found by entry points.  A broken one fails when it is run, not before."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import click

#: Groups of entry points; a command of the first wins over one of the second.
GROUPS = ("celeriac.commands", "celery.commands")


def plugins() -> dict[str, EntryPoint]:
    """Entry points by the name of their command."""
    found: dict[str, EntryPoint] = {}
    for group in GROUPS:
        for point in entry_points(group=group):
            found.setdefault(point.name, point)
    return found


def origin(plugin: EntryPoint) -> str:
    """The distribution it comes from."""
    return f"{plugin.dist.name} {plugin.dist.version}" if plugin.dist is not None else plugin.value


def load(plugin: EntryPoint) -> click.Command:
    """Import a command; one that cannot be imported becomes a command that says so."""
    try:
        found = plugin.load()
    except Exception as exc:
        return _failing(plugin, f"cannot be loaded: {type(exc).__name__}: {exc}")
    if not isinstance(found, click.Command):
        return _failing(plugin, f"is no click command but {found!r}")
    return found


def _failing(plugin: EntryPoint, reason: str) -> click.Command:
    text = f"The command {plugin.name!r} of {origin(plugin)} {reason}"

    def fail() -> None:
        raise click.ClickException(text)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(plugin.name, callback=fail, help=text, context_settings=settings)
