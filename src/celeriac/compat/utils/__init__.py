"""Helpers that code for Celery takes from ``celery.utils`` and that Celeriac itself has no use for."""
