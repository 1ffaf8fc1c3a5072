"""Writes ``reference/cli.md`` from the help of the commands, at the start of a documentation build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HEAD = """\
# Command line

What `--help` prints. `python -m celeriac` is the same program.
"""
COMMANDS = (
    "",
    "worker",
    "multi",
    "beat",
    "schedule",
    "schedule add",
    "call",
    "result",
    "list",
    "list queues",
    "purge",
    "dead",
    "dead list",
    "dead show",
    "dead replay",
    "dead purge",
    "release",
    "migrate",
    "amqp",
    "status",
    "inspect",
    "control",
    "shell",
    "logtool",
    "logtool stats",
    "upgrade",
    "upgrade settings",
    "report",
)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(name) for name in COMMANDS)])


def _section(name: str) -> str:
    arguments = [*name.split(), "--help"]
    done = subprocess.run(  # noqa: S603 - our own commands
        [sys.executable, "-m", "celeriac", *arguments],
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout.strip().replace("python -m celeriac", "celeriac")
    return f"\n## {f'celeriac {name}'.strip()}\n\n```text\n{text}\n```\n"


def write(app: Sphinx) -> None:
    """Write the page if it differs from the one that is there."""
    target = Path(app.srcdir) / "reference" / "cli.md"
    text = page()
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
