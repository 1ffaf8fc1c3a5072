"""Celeriac under the name celery."""

from celeriac.compat import take_place

take_place(__name__)
