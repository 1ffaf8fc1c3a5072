"""The app, as projects write it."""

from __future__ import annotations

import os

from celeriac import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.support.django_shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_init.connect
def open_a_connection(**_: object) -> None:
    """Opens one in the parent, after those of the imports were closed."""
    from django.db import connections

    connections["kept"].ensure_connection()
