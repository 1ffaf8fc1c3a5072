"""The drop-in door: `celery` as a name for Celeriac, so that code written for Celery runs unchanged.

``celeriac exec -- COMMAND`` opens it for a program and its children, ``celeriac -A proj`` for a project, and
`install` in code. Nothing of Celeriac imports this package but those.
"""

from __future__ import annotations

from celeriac.compat.importer import install, take_place

__all__ = ["install", "take_place"]
