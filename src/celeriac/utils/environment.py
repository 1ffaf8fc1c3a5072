"""Numbers in the environment."""

from __future__ import annotations

import os

from celeriac.exceptions import ImproperlyConfigured

__all__ = ["number"]


def number(variable: str, default: float) -> float:
    """The number that a variable has, or the default where it is unset or empty.

    Raises:
        ImproperlyConfigured: It is no number, or a negative one.
    """
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise ImproperlyConfigured(f"{variable} is {text!r} in the environment: give a number, or unset it")
    return value
