"""Writes the stubs of packages/celeriac-as-celery from the table of names: ``python -m scripts.celery_stubs``."""

from __future__ import annotations

from pathlib import Path

from celeriac.compat.names import is_package, row_of, table

#: Packages of the distribution.
_ROOTS = ("billiard", "celery", "kombu")
PACKAGES = Path(__file__).parents[1] / "packages" / "celeriac-as-celery"


def stubs() -> dict[str, str]:
    """Texts by path inside of the distribution."""
    found = {}
    for root in _ROOTS:
        for name in table(root):
            if row_of(name) is not None and not name.endswith("__main__"):
                path = name.replace(".", "/")
                found[f"{path}/__init__.pyi" if is_package(name) or name == root else f"{path}.pyi"] = _stub(name)
    return found


def _stub(module: str) -> str:
    """The text for one module: it depends on the table alone."""
    row = row_of(module)
    assert row is not None  # noqa: S101 - the caller looked
    lines = [f"from {row.home} import *\n"] if row.home is not None else []
    renamed = []
    for name, place in sorted(row.names.items()):
        home, _, attribute = place.partition(":")
        if name.startswith("_") and not name.startswith("__"):
            continue
        if name == attribute:
            lines.append(f"from {home} import {name} as {name}\n")
        else:
            # Under another name, an import alone exports nothing.
            lines.append(f"from {home} import {attribute} as _{name.strip('_')}\n")
            renamed.append(f"{name} = _{name.strip('_')}\n")
    return f"# Made by scripts/celery_stubs.py.\n{''.join(lines)}{''.join(renamed)}"


def main() -> None:
    """Write them, and remove those of modules that are gone."""
    wanted = stubs()
    for root in _ROOTS:
        for path in (PACKAGES / root).rglob("*.pyi"):
            if str(path.relative_to(PACKAGES)) not in wanted:
                path.unlink()
    for name, text in wanted.items():
        path = PACKAGES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
