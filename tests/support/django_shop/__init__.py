"""A Django project: settings, two apps, a Celeriac app in its usual place."""

from tests.support.django_shop.celery import app

__all__ = ["app"]
