"""The built-in commands, by the modules they live in."""

from __future__ import annotations

from celeriac.worker.commands import consuming, inspecting, memory, nodes, pooling, revoking, tasks
from celeriac.worker.commands.registry import add

_MODULES = (inspecting, tasks, memory, revoking, pooling, consuming, nodes)
_registered = False


def register() -> None:
    """Add all of them to the table once; a user's command of the same name stays."""
    global _registered
    if _registered:
        return
    _registered = True
    for module in _MODULES:
        for function, options in module.COMMANDS:
            add(function, replace=False, **options)
