"""Which release of Celery we are compatible with: what ``celery.__version__`` and its like say."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SERIES", "VERSION", "VERSION_BANNER", "maybe_patch_concurrency", "version_info", "version_info_t"]


class version_info_t(NamedTuple):  # noqa: N801 - Celery's name
    """A version in parts."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: str


SERIES = "Celeriac"
VERSION = version_info = version_info_t(5, 7, 0, "", "")
CELERY = "5.7.0"
VERSION_BANNER = f"{CELERY} ({SERIES})"
#: The release of kombu that goes with it.
KOMBU = "5.7.0"
KOMBU_VERSION = version_info_t(5, 7, 0, "", "")
#: The release of billiard that goes with it.
BILLIARD = "4.3.2"
BILLIARD_VERSION = version_info_t(4, 3, 2, "", "")


def maybe_patch_concurrency(*_args: object, **_options: object) -> None:
    """Nothing has to be patched before an import here: a worker patches its own children."""
