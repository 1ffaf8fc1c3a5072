"""What kind a function is, without `inspect`, which takes longer to import than a client has."""

from __future__ import annotations

import functools
from typing import Any

_CO_COROUTINE = 0x80
#: How `inspect.markcoroutinefunction` (Python 3.12) marks a function.
_MARK = "_is_coroutine_mark"


def is_coroutine_function(function: Any) -> bool:
    """It was written with ``async def``, or is said to return a coroutine like those."""
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    return bool(code is not None and code.co_flags & _CO_COROUTINE) or hasattr(function, _MARK)
