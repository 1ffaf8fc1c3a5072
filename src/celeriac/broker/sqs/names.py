"""What queues are called in SQS, as kombu 5.7 names them: letters, digits, ``-`` and ``_`` only."""

from __future__ import annotations

import string
from typing import Final

FIFO: Final = ".fifo"
#: The service's limit.
MAX_LENGTH: Final = 80

_REPLACED: Final = {ord(sign): "_" for sign in string.punctuation if sign not in "-_."} | {ord("."): "-"}
_ALLOWED: Final = frozenset(string.ascii_letters + string.digits + "-_")


def queue_name(name: str, prefix: str = "") -> str:
    """The name of a queue in SQS.

    A full stop becomes ``-`` and other punctuation ``_``; what else the service does not take becomes ``_u`` and its
    code point.  The ending ``.fifo`` stays.

    >>> queue_name("orders.eu@shop", "prod-")
    'prod-orders-eu_shop'
    >>> queue_name("orders.fifo")
    'orders.fifo'
    """
    full = prefix + name
    ending = FIFO if full.endswith(FIFO) else ""
    text = full.removesuffix(FIFO).translate(_REPLACED)
    return "".join(sign if sign in _ALLOWED else f"_u{ord(sign):04x}" for sign in text) + ending


def is_fifo(name: str) -> bool:
    """Whether messages of a queue keep their order within a group."""
    return name.endswith(FIFO)
