"""Commands of your own for remote control: `control_command` and `inspect_command`, as in ``celery.worker.control``."""

from __future__ import annotations

from celeriac.worker.commands.registry import control_command, inspect_command

__all__ = ["control_command", "inspect_command"]
