"""Configuration: the table of settings, its sources, and the object that answers for their values.

Knows nothing of the app that uses it.
"""

from __future__ import annotations

from celeriac.config.options import OPTIONS, Option
from celeriac.config.settings import Settings

__all__ = ["OPTIONS", "Option", "Settings"]
