"""Tasks that use the database."""

from __future__ import annotations

import os
from typing import Any

from django.core.cache import cache
from django.db import connections
from django.utils import timezone

from celeriac import current_app, shared_task
from celeriac.fixups import django as fixup_module
from tests.support.django_shop.cache import CountingCache
from tests.support.django_shop.orders.models import Order


@shared_task
def titles() -> list[str]:
    return [order.title for order in Order.objects.order_by("title")]


@shared_task
def place(title: str) -> int:
    return int(Order.objects.create(title=title).pk)


@shared_task
def facts() -> dict[str, Any]:
    """What a task finds as it begins; it leaves both databases and the cache in use."""
    found = {
        "pid": os.getpid(),
        "open": sorted(name for name in connections if connections[name].connection is not None),
        "inherited": len(fixup_module._inherited),
        "caches closed": CountingCache.closed,
        "timezone": str(current_app.timezone),
        "django timezone": timezone.get_current_timezone_name(),
    }
    cache.set("x", 1)
    for name in connections:
        Order.objects.using(name).count()
    return found
