"""Results in a database through SQLAlchemy, in Celery's tables: ``db+postgresql://…`` and others."""

from __future__ import annotations

from celeriac.backend.database.backend import DatabaseBackend

__all__ = ["DatabaseBackend"]
