"""A project written for Celery, by its documentation: nothing in it knows of Celeriac."""

from .celery import app as celery_app

__all__ = ("celery_app",)
