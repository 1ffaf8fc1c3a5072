"""Who this process is on the wire, and whether it has been forked since.  Nothing else depends on the process."""

from __future__ import annotations

import os

from celeriac.utils.nodenames import anon_nodename

__all__ = ["Process", "current"]


class Process:
    """Identity of the running process.

    Attributes:
        generation: Changes in a child made by fork; what was cached under another value belongs to the parent.
        origin: ``gen<pid>@<host>``, the header ``origin`` of messages sent from here.
    """

    __slots__ = ("generation", "origin")

    def __init__(self) -> None:
        self.generation = 0
        self.origin = anon_nodename()

    def renew(self) -> None:
        """Become another process; runs in every child made by fork."""
        self.generation += 1
        self.origin = anon_nodename()


current = Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=current.renew)
