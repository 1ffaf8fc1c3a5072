"""A project of Django written for Celery, with a timetable in its database."""

from timetable.celery import app as celery_app

__all__ = ["celery_app"]
