"""Names of ``celery.utils.sysinfo``."""

from __future__ import annotations

import os
from math import ceil

__all__ = ["df", "load_average"]


def load_average() -> tuple[float, ...]:
    """The load of the machine over 1, 5 and 15 minutes, rounded up to hundredths."""
    return tuple(ceil(value * 100) / 100 for value in os.getloadavg())


class df:  # noqa: N801 - Celery's name
    """Space of a file system.

    Args:
        path: Anything on it.
    """

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        self.path = path

    @property
    def stat(self) -> os.statvfs_result:
        """What the system says."""
        return os.statvfs(os.path.realpath(self.path))

    @property
    def total_blocks(self) -> float:
        """Its size in KiB blocks."""
        return self.stat.f_blocks * self.stat.f_frsize / 1024

    @property
    def available(self) -> float:
        """What is free for users in KiB blocks."""
        return self.stat.f_bavail * self.stat.f_frsize / 1024

    @property
    def capacity(self) -> int:
        """Percentage that is used."""
        used = self.stat.f_blocks - self.stat.f_bfree
        return ceil(used * 100 / (used + self.stat.f_bavail))
