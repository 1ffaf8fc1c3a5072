"""``doctor``: reads a project and its servers, and says what works, what differs, and what to change."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from celeriac.cli.diagnosis import project, services, sources
from celeriac.cli.diagnosis.finding import LEVELS
from celeriac.cli.errors import EX_FAILURE
from celeriac.cli.find_app import import_tasks
from celeriac.cli.options import command, json_option, option, print_json

if TYPE_CHECKING:
    from celeriac.cli.diagnosis.finding import Finding
    from celeriac.cli.state import State

_MARKS = {"ok": ("✓", "green"), "note": ("·", "cyan"), "change": ("≠", "yellow"), "problem": ("✗", "red")}


@command(
    "doctor",
    examples=(
        ("celeriac -A proj doctor", "look at everything"),
        ("celeriac -A proj doctor --offline", "at the project alone: no server is asked"),
        ("celeriac -A proj doctor --json", "for scripts"),
    ),
    epilog="Nothing is changed and no task is sent. Exit codes: 0 nothing is in the way, 1 something is.",
)
@option("--offline", is_flag=True, help="Ask no server and no worker.")
@json_option("the findings")
@click.pass_context
def doctor(ctx: click.Context, /, offline: bool, as_json: bool) -> None:
    """Tell what of a project works, what differs from Celery, and what to change."""
    state: State = ctx.obj
    app = state.app
    import_tasks(app)
    findings = [*project.look(app), *sources.look(sources.files_of(app))]
    if not offline:
        findings += services.look(app)
    if as_json:
        print_json([{"level": f.level, "area": f.area, "text": f.text, "hint": f.hint} for f in findings])
    else:
        _show(state, findings)
    if any(finding.level == "problem" for finding in findings):
        ctx.exit(EX_FAILURE)


def _show(state: State, findings: list[Finding]) -> None:
    for area, group in groupby(findings, key=lambda finding: finding.area):
        state.echo(click.style(area, bold=True))
        for finding in group:
            mark, color = _MARKS[finding.level]
            state.echo(f"  {click.style(mark, fg=color)} {finding.text}")
            if finding.hint:
                state.echo(f"    {finding.hint}")
    counts = {level: sum(finding.level == level for finding in findings) for level in LEVELS}
    told = [f"{counts[level]} {_MARKS[level][0]} {meaning}" for level, meaning in LEVELS.items() if counts[level]]
    state.echo(f"\n{', '.join(told)}")
