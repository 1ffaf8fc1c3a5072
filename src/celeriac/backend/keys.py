"""Celery's keys in stores that keep values under keys.  What the values look like is `codec`'s business."""

from __future__ import annotations

from typing import Any, Final

TASK_PREFIX: Final = "celery-task-meta-"
GROUP_PREFIX: Final = "celery-taskset-meta-"
#: What Celery has no keys for; key-value stores keep bytes there.
OWN_PREFIX: Final = "celeriac-"
CHORD_PREFIX: Final = "celeriac-chord-"
CLAIM_PREFIX: Final = "celeriac-claim-"
DUE_PREFIX: Final = "celeriac-due-"
GRAPH_PREFIX: Final = "celeriac-graph-"


def split_key(key: str) -> tuple[str, str]:
    """What is kept under a key, for stores with a table for each: one of three prefixes, and the id.

    The prefix is `TASK_PREFIX`, `GROUP_PREFIX` or `OWN_PREFIX`.  A ``global_keyprefix`` stays in front of the id.
    """
    places = {key.find(prefix): prefix for prefix in (TASK_PREFIX, GROUP_PREFIX, OWN_PREFIX) if prefix in key}
    if not places:
        raise ValueError(f"{key!r} is no key of a result")
    # An id may hold one as well, but later.
    first = min(places)
    return places[first], key[:first] + key[first + len(places[first]) :]


def key_prefix(prefix: Any) -> str:
    """``global_keyprefix`` as it is put before every key.

    An underscore separates it unless it ends in a separator, as in Celery.
    """
    text = str(prefix or "")
    return text if not text or text[-1] in ":_-." else f"{text}_"
