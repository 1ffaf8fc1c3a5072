"""``celeriac upgrade settings``: a file of settings with today's names in place of the old upper-case ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from celeriac.cli.options import Group, option
from celeriac.config.names import OLD_NAMES, prefixed

if TYPE_CHECKING:
    from celeriac.cli.state import State


@click.group("upgrade", cls=Group, invoke_without_command=True)
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring files up to date with today's names."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit()


upgrade.examples = (
    ("celeriac upgrade settings proj/celeryconfig.py", "new names, a copy in celeryconfig.py.orig"),
    ("celeriac upgrade settings proj/settings.py --django", "new names under CELERY_"),
)


@upgrade.command("settings", short_help="Rename old settings in a file.")
@click.argument("filename", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@option("--django", "--compat", "namespaced", is_flag=True,
        help="Write CELERY_TASK_ROUTES and the like, for config_from_object(..., namespace='CELERY').")  # fmt: skip
@option("--backup/--no-backup", default=True, help="Keep what was there in FILE.orig. Default: keep it.")
@click.pass_obj
def settings(state: State, /, filename: Path, namespaced: bool, backup: bool) -> None:
    """Replace the old upper-case names of settings in FILE by today's.

    Every whole word that is an old name is replaced, in comments and strings too.
    """
    before = filename.read_text()
    after, renamed = rename(before, namespace="CELERY" if namespaced else None)
    if not renamed:
        state.echo(f"There is no old name in {filename}.")
        return
    if backup:
        filename.with_name(f"{filename.name}.orig").write_text(before)
    filename.write_text(after)
    for old, new in renamed.items():
        state.echo(f"{old} -> {new}")
    state.echo(
        f"{filename}: {len(renamed)} names are new{', the old file is ' + filename.name + '.orig' if backup else ''}."
    )


def rename(text: str, *, namespace: str | None) -> tuple[str, dict[str, str]]:
    """Replace old names of settings.

    Args:
        text: A module of settings.
        namespace: Put before each new name, in its case; None leaves them bare.

    Returns:
        The new text, and the new names by the old.
    """
    renamed: dict[str, str] = {}

    def replace(found: re.Match[str]) -> str:
        old = found[0]
        new = OLD_NAMES.get(old)
        new = new and (prefixed(new, namespace) if namespace else new)
        if new is None or new == old:
            return old
        renamed[old] = new
        return new

    return re.sub(r"\b[A-Z][A-Z0-9_]+\b", replace, text), renamed
