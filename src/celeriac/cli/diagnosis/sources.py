"""The source code of a project: what it imports from Celery and kombu, and whether it is there."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from celeriac.cli.diagnosis.finding import Finding
from celeriac.compat.names import ROOTS, explain_module, find, row_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celeriac.app.base import Celery

AREA: Final = "imports"
#: Files looked at; a project that has more is told so.
MOST_FILES: Final = 5000
#: Directories of a project that hold the code of others.
_FOREIGN: Final = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})


class Import(NamedTuple):
    """One name that a file imports.

    Attributes:
        module: Dotted name of the module.
        name: Name taken from it; None imports the module itself.
        file: The file.
        line: Its line.
    """

    module: str
    name: str | None
    file: Path
    line: int

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}:{self.line}"


def files_of(app: Celery) -> list[Path]:
    """The files of a project: the package of its app, and the modules of its tasks."""
    modules = {task.__module__ for task in app.tasks.values()} | {app.main or ""}
    found: dict[Path, None] = {}
    for name in sorted(modules):
        root = getattr(sys.modules.get(name.partition(".")[0]), "__file__", None)
        if root is not None and not _is_foreign(Path(root)):
            path = Path(root).resolve()
            found.update(dict.fromkeys(_below(path.parent) if path.name == "__init__.py" else [path]))
    return list(found)


def _is_foreign(path: Path) -> bool:
    ours = Path(__file__).parents[2]
    return not _FOREIGN.isdisjoint(path.parts) or ours in path.resolve().parents or path.is_relative_to(sys.base_prefix)


def _below(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*.py") if _FOREIGN.isdisjoint(path.parts))


def imports_of(file: Path) -> Iterator[Import]:
    """What a file imports from the distributions that Celeriac stands in for; nothing of what cannot be read."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in ROOTS:
                    yield Import(alias.name, None, file, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").partition(".")[0] in ROOTS:
            for alias in node.names:
                yield Import(node.module or "", alias.name if alias.name != "*" else None, file, node.lineno)


def explain(found: Import) -> str | None:
    """Why something imported is not there; None when it is."""
    if row_of(found.module) is None:
        return explain_module(found.module)
    if found.name is None:
        return None
    try:
        find(found.module, found.name)
    except (AttributeError, ImportError) as error:
        return str(error)
    return None


def look(files: Iterable[Path]) -> list[Finding]:
    """Look at the imports of a project.

    Args:
        files: Its files.
    """
    files = list(files)
    seen = [each for file in files[:MOST_FILES] for each in imports_of(file)]
    missing: dict[str, list[Import]] = {}
    for each in seen:
        reason = explain(each)
        if reason is not None:
            missing.setdefault(reason, []).append(each)
    findings = [
        Finding("problem", AREA, reason, f"imported at {', '.join(each.place for each in places[:3])}{_more(places)}")
        for reason, places in missing.items()
    ]
    if len(files) > MOST_FILES:
        findings.append(Finding("note", AREA, f"only {MOST_FILES} of {len(files)} files were looked at"))
    there = len(seen) - sum(map(len, missing.values()))
    if there or not findings:
        text = f"names of Celery and kombu that are there: {there}" if seen else "nothing is imported from Celery"
        findings.insert(0, Finding("ok", AREA, f"{text}; files: {len(files)}"))
    return findings


def _more(places: list[Import]) -> str:
    return f" and {len(places) - 3} more" if len(places) > 3 else ""
