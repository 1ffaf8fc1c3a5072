"""A task of an app that is named by its package."""

from __future__ import annotations

from celeriac import shared_task


@shared_task
def restock(title: str) -> str:
    return f"more {title}"
