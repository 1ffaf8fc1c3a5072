"""``python -m tests.support.django_shop.client NAME``: what a web process of the project does; prints JSON."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.support.django_shop.settings")

import django
from django.core.management import call_command
from django.db import connection, transaction
from django.utils.translation import gettext_lazy

from tests.support.django_shop.celery import app
from tests.support.waiting import PATIENCE


def migrate() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)


def commit() -> Any:
    """Calls within transactions, of which one is rolled back."""
    from tests.support.django_shop.orders.tasks import place, titles

    try:
        with transaction.atomic():
            place.delay_on_commit("undone")  # type: ignore[attr-defined]
            raise KeyError
    except KeyError:
        pass
    with app.connection_for_read() as broker:
        queue = app.conf.task_default_queue
        before = broker.session.depths([queue])[queue]
        with transaction.atomic():
            place.delay_on_commit("first")  # type: ignore[attr-defined]
            place.apply_async_on_commit(("second",), countdown=0)  # type: ignore[attr-defined]
            within = broker.session.depths([queue])[queue]
        after = broker.session.depths([queue])[queue]
    return {"before": before, "within": within, "after": after, "class": place.__class__.__mro__[1].__name__,
            "titles": titles.name}  # fmt: skip


def ask() -> Any:
    """Calls of every app, and what tasks find."""
    from tests.support.django_shop.orders.tasks import facts, titles
    from tests.support.django_shop.stock.tasks import restock

    return {
        "titles": titles.delay().get(timeout=PATIENCE),
        "restock": restock.delay(gettext_lazy("tea")).get(timeout=PATIENCE),
        "facts": [facts.delay().get(timeout=PATIENCE) for _ in range(2)],
    }


def in_place() -> Any:
    """A call in place, as in the tests of a project, which must not close the connection that it shares; and checks."""
    from tests.support.django_shop.orders.tasks import place

    worker_fixup = app.fixups[0].worker_fixup
    worker_fixup.install()
    app.conf.task_always_eager = True
    with transaction.atomic():
        place.delay("eager").get()
        found = {"open": connection.connection is not None}
    for name in ("checked", "checked although skipped"):
        log = io.StringIO()
        handler = logging.StreamHandler(log)
        logging.getLogger("celeriac.django").addHandler(handler)
        worker_fixup.validate_models()
        logging.getLogger("celeriac.django").removeHandler(handler)
        found[name] = "the shop is small" in log.getvalue()
        os.environ["CELERY_SKIP_CHECKS"] = "true"
    return found


if __name__ == "__main__":
    django.setup()
    sys.stdout.write(json.dumps(globals()[sys.argv[1]]()))
