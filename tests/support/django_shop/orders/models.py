"""A model."""

from __future__ import annotations

from django.db import models


class Order(models.Model):  # type: ignore[misc]
    """Somebody wants something."""

    title = models.CharField(max_length=80)

    class Meta:
        """See Django."""

        app_label = "orders"

    def __str__(self) -> str:
        return str(self.title)
