"""Trying again while a result store cannot be reached, as ``result_backend_always_retry`` asks.

Workers wait for their store in any case (`celeriac.execution.patience`); this is for everybody, and it ends.
"""

from __future__ import annotations

import random
import time
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.config import Settings

__all__ = ["add_retries"]

#: Methods of a backend that may be repeated.
_REPEATED: Final = ("store_many", "load_many", "forget_many", "save_group", "load_group", "delete_group")


def add_retries(cls: Any, conf: Settings) -> None:
    """Let the methods of a class of backends that read and write results be repeated.

    Args:
        cls: The class; changed in place.
        conf: Settings; the ``result_backend_`` ones about retries are read at each attempt.
    """
    for name in _REPEATED:
        setattr(cls, name, _repeated(getattr(cls, name), conf))


def _repeated(method: Callable[..., Any], conf: Settings) -> Callable[..., Any]:
    @wraps(method)
    def repeated(*args: Any, **kwargs: Any) -> Any:
        attempt = 0
        while True:
            try:
                return method(*args, **kwargs)
            except OperationalError:
                if attempt >= conf.result_backend_max_retries:
                    raise
                time.sleep(_pause(attempt, conf))
                attempt += 1

    return repeated


def _pause(attempt: int, conf: Settings) -> float:
    """Seconds before another attempt: twice as many each time, with jitter, so that not all clients come at once."""
    first, most = conf.result_backend_base_sleep_between_retries_ms, conf.result_backend_max_sleep_between_retries_ms
    return random.random() * float(min(first * 2.0 ** min(attempt, 60), most)) / 1000
