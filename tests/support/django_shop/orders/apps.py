"""The config of the app, which talks to the database and checks something as it comes up."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks


class OrdersConfig(AppConfig):  # type: ignore[misc]
    """See the module."""

    name = "tests.support.django_shop.orders"
    label = "orders"

    def ready(self) -> None:
        """Open a connection, as projects do that read something from the database at once."""
        from django.db import connection

        connection.ensure_connection()
        checks.register(_dislike)


def _dislike(**_: Any) -> list[Any]:
    return [checks.Warning("the shop is small", id="shop.W001")]
