"""Celery's keys in stores that keep values under keys.  What the values look like is `codec`'s business."""

from __future__ import annotations

from typing import Any, Final

TASK_PREFIX: Final = "celery-task-meta-"
GROUP_PREFIX: Final = "celery-taskset-meta-"


def split_key(key: str) -> tuple[str, str]:
    """What is kept under a key, for stores with a table for each: `TASK_PREFIX` or `GROUP_PREFIX`, and the id.

    A ``global_keyprefix`` stays in front of the id.
    """
    for prefix in (TASK_PREFIX, GROUP_PREFIX):
        before, found, id_ = key.partition(prefix)
        if found:
            return prefix, before + id_
    raise ValueError(f"{key!r} is no key of a result")


def key_prefix(prefix: Any) -> str:
    """``global_keyprefix`` as it is put before every key.

    An underscore separates it unless it ends in a separator, as in Celery.
    """
    text = str(prefix or "")
    return text if not text or text[-1] in ":_-." else f"{text}_"
