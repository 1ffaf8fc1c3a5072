"""Celeriac under the name kombu."""

from celeriac.compat import take_place

take_place(__name__)
