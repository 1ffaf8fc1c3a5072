"""Writes ``reference/settings.md`` from the table of settings, at the start of a documentation build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from celeriac.config.options import GROUPS, SAME
from celeriac.worker.unsupported import WITHOUT_EFFECT

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from celeriac.config.options import Option

HEAD = """\
# Settings

Names, types and meanings are Celery's. Where two defaults are given, the first holds under Celeriac's own
name and the second, marked *Celery*, with `celery_defaults=True`.

Every setting is known and checked, so that a configuration made for Celery can be read; what has no effect here is
marked, and a worker names such settings when it starts.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for group in GROUPS:
        parts += [f"\n## {group.title}\n"]
        parts += [_entry(option) for option in group.options]
    return "\n".join(parts)


def _entry(option: Option) -> str:
    default = f"`{option.default!r}`"
    if option.celery_default is not SAME:
        default += f", *Celery* `{option.celery_default!r}`"
    facts = [option.type, f"default {default}"]
    if option.choices:
        facts.append("one of " + ", ".join(f"`{choice!r}`" for choice in option.choices))
    if option.old and option.old.lower() != option.name:
        facts.append(f"old name `{option.old}`")
    if option.name in WITHOUT_EFFECT:
        facts.append(f"*without effect*: {WITHOUT_EFFECT[option.name]}")
    return f"`{option.name}`\n: {option.doc}\n\n  {'; '.join(facts)}\n"


def write(app: Sphinx) -> None:
    """Write the page if it differs from the one that is there."""
    target = Path(app.srcdir) / "reference" / "settings.md"
    text = page()
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
