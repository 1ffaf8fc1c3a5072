"""Celeriac under the name billiard."""

from celeriac.compat import take_place

take_place(__name__)
