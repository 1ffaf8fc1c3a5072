"""Small helpers without knowledge of tasks or messages.  Import the module that has what you need."""

from __future__ import annotations
