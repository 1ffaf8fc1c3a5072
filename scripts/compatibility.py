"""Writes docs/compatibility.md, the state of each name that Celery exports: ``python -m scripts.compatibility``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from celeriac.compat.names import public, row_of, table
from scripts.third_parties import section
from tests.thirdparty.suites import SUITES

ROOT = Path(__file__).parents[1]
NAMES = ROOT / "docs" / "_ext" / "celery_names.txt"
PAGE = ROOT / "docs" / "compatibility.md"

_HEAD = """\
# What there is of Celery

The names that Celery 5.7.0 and kombu 5.7.0 export, and which of them Celeriac has under the same module with the
[door](migrating.md) open: in a program that `celeriac exec` runs, after `celeriac.compat.install()`, or with
`celeriac-as-celery`. A name that is there is the object of Celeriac itself. One that is not raises an ImportError or
AttributeError that says what there is instead.

This page is made by `python -m scripts.compatibility`, from the table in `celeriac.compat.names`.

"""
_KOMBU = """\
kombu itself is used wherever it is installed; this is what there is without it.

"""
_THIRD_PARTIES = """
## Third parties

django-celery-beat, django-celery-results and celery-redbeat run unmodified. Stores that inherit from the classes of
`celery.backends.base` join no chords: where a project has chords, take `django-db`, or another store of Celeriac.
`make thirdparty` runs the tests of their source distributions. What does not pass, and why:
"""


class Module(NamedTuple):
    """One module of Celery.

    Attributes:
        name: Its name.
        there: Names that are there.
        missing: Names that are not, and what there is instead.
        instead: Why the whole module is not there; None if it is.
    """

    name: str
    there: list[str]
    missing: dict[str, str]
    instead: str | None


def modules() -> list[Module]:
    """The modules of the list, with the state of each name."""
    found = []
    for line in NAMES.read_text().splitlines():
        if not line.startswith("#"):
            name, _, names = line.partition(":")
            found.append(_state(name, names.split()))
    return found


def _state(module: str, names: list[str]) -> Module:
    row = table(module.partition(".")[0]).get(module)
    if row is None:
        above = table(module.partition(".")[0]).get(module.rpartition(".")[0])
        return Module(module, [], {}, (above and above.instead) or "not there")
    if row.instead is not None:
        return Module(module, [], {}, row.instead)
    ours = row_of(module)
    known = set(row.names) | set(public(ours) if ours is not None else ())
    missing = {name: row.missing.get(name, "") for name in names if name not in known}
    return Module(module, [name for name in names if name in known], missing, None)


def page() -> str:
    """The text of the page."""
    found = modules()
    names = sum(len(module.there) + len(module.missing) for module in found if module.instead is None)
    there = sum(len(module.there) for module in found)
    parts = [_HEAD, f"Of the modules that are there, {there} of {names} names are.\n"]
    for root in ("celery", "kombu"):
        parts.append(f"\n## {root}\n\n{_KOMBU if root == 'kombu' else ''}")
        parts.append("| Module | There | Not there |\n|---|---|---|\n")
        parts += [_line(module) for module in found if module.name.partition(".")[0] == root]
    return "".join([*parts, _suites(), section()])


def _suites() -> str:
    parts = [_THIRD_PARTIES]
    for suite in SUITES:
        parts.append(f"\n{suite.name}:\n\n")
        left_out = [f"- `{path}` is not run: {why}.\n" for path, why in suite.left_out.items()]
        failing = [f"- `{test.rpartition('::')[2]}` fails: {why}.\n" for test, why in suite.fails.items()]
        parts += [*left_out, *failing]
    return "".join(parts)


def _line(module: Module) -> str:
    if module.instead is not None:
        return f"| `{module.name}` | | {module.instead} |\n"
    reasons: dict[str, list[str]] = {}
    for name, reason in module.missing.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    missing = "; ".join(f"{', '.join(names)}{f' ({reason})' if reason else ''}" for reason, names in reasons.items())
    return f"| `{module.name}` | {', '.join(f'`{name}`' for name in module.there)} | {missing} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
