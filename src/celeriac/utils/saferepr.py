"""A repr for headers, events and logs: bounded in length and depth, safe with cycles and broken objects.

The text is the one Celery shows (``argsrepr``, ``kwargsrepr``, ``result``); it cannot be read back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_SCALARS = frozenset({int, float, bool, type(None)})
#: Longer containers and strings are cut by the slow path instead of being rendered whole first.
_SMALL = 64
_SMALL_TEXT = 256
_CUT = "..."
_END = ", ..."


def saferepr(obj: Any, maxlen: int | None = None, maxlevels: int = 3) -> str:
    """A short repr of `obj` that never raises.

    >>> saferepr((1, {"a": [[[2]]]}))
    "(1, {'a': [[...]]})"

    Args:
        obj: Anything.
        maxlen: Characters before the text is cut: it ends ``, ...`` and closing brackets. None: no limit.
        maxlevels: Containers shown inside one another; deeper ones are ``[...]``. 0: no limit.
    """
    text = _plain(obj)
    if text is not None and (maxlen is None or len(text) <= maxlen):
        return text
    try:
        return _render(obj, maxlen, maxlevels)
    except RecursionError:
        # Only without a limit of levels: show as many as fit the stack of any interpreter.
        return _render(obj, maxlen, 50)
    except Exception as exc:
        # A container that changes while it is read, or whose iteration is broken.
        return _unrepresentable(obj, exc)


def _plain(obj: Any) -> str | None:
    """The repr of a small container of scalars, when Python's own is the same; else None."""
    kind = type(obj)
    if kind is tuple or kind is list:
        plain = len(obj) <= _SMALL and _all_plain(obj)
    elif kind is dict:
        plain = len(obj) <= _SMALL and _all_plain(obj) and _all_plain(obj.values())
    else:
        return None
    if not plain:
        return None
    try:
        text = repr(obj)
    except ValueError:  # an int of more digits than sys.get_int_max_str_digits()
        return None
    # An escape or a double quote: our strings are written otherwise.
    return None if "\\" in text or '"' in text else text


def _all_plain(values: Iterable[Any]) -> bool:
    for value in values:
        kind = type(value)
        if kind is str:
            if len(value) > _SMALL_TEXT:
                return False
        elif kind not in _SCALARS:
            return False
    return True


def _render(obj: Any, maxlen: int | None, maxlevels: int) -> str:
    renderer = _Renderer(math.inf if maxlen is None else maxlen, maxlevels)
    renderer.value(obj, 0)
    return "".join(renderer.parts)


class _Renderer:
    """Writes tokens until `room` is used up; closing brackets are written regardless.

    Every method returns False once there is no room: the cut is marked where it happens and the callers only
    close what they opened.
    """

    __slots__ = ("maxlevels", "parts", "path", "room")

    def __init__(self, room: float, maxlevels: int) -> None:
        self.parts: list[str] = []
        self.room = room
        self.maxlevels = maxlevels
        self.path: set[int] = set()

    def value(self, obj: Any, level: int) -> bool:
        if isinstance(obj, str):
            return self.put(self.text(obj))
        if isinstance(obj, bytes):
            return self.put(self.binary(obj))
        if isinstance(obj, dict):
            return self.container(obj, level, "{", "}")
        if isinstance(obj, list):
            return self.container(obj, level, "[", "]")
        if isinstance(obj, tuple):
            return self.container(obj, level, "(", ",)" if len(obj) == 1 else ")")
        if isinstance(obj, (set, frozenset)) and obj:
            # A plain set has no name in front; a subclass and a frozenset have.
            if type(obj) is set:
                return self.container(obj, level, "{", "}")
            return self.container(obj, level, f"{type(obj).__name__}({{", "})")
        return self.put(self.literal(obj))

    def put(self, token: str) -> bool:
        if self.room <= 0:
            self.parts.append(_END)
            return False
        self.parts.append(token)
        self.room -= len(token)
        return True

    def close(self, token: str) -> None:
        self.parts.append(token)
        self.room -= len(token)

    def container(self, obj: Any, level: int, opening: str, closing: str) -> bool:
        if self.maxlevels and level >= self.maxlevels:
            return self.put(f"{opening}{_CUT}{closing}")
        if id(obj) in self.path:
            return self.put(f"<Recursion on {type(obj).__name__} with id={id(obj)}>")
        if not self.put(opening):
            return False
        self.path.add(id(obj))
        fits = self.pairs(obj, level) if isinstance(obj, dict) else self.items(obj, level)
        self.path.discard(id(obj))
        self.close(closing)
        return fits

    def items(self, obj: Iterable[Any], level: int) -> bool:
        first = True
        for item in obj:
            if not first and not self.put(", "):
                return False
            first = False
            if not self.value(item, level + 1):
                return False
        return True

    def pairs(self, obj: dict[Any, Any], level: int) -> bool:
        first = True
        for key, value in obj.items():
            if not first and not self.put(", "):
                return False
            first = False
            # The levels of a key are counted on their own; one cut midway is marked inside and outside.
            if self.room > 0:
                self.value(key, 0)
            if not (self.put(": ") and self.value(value, level + 1)):
                return False
        return True

    def text(self, obj: str) -> str:
        content = self.cut_words(obj).replace("'", "\\'")
        return f"'{content}'"

    def binary(self, obj: bytes) -> str:
        cut = len(obj) > self.room > 0
        head = obj[: int(self.room)] if cut else obj
        try:
            content = head.decode()
        except UnicodeDecodeError:
            content = head.hex()
        return f"b'{content}{_CUT if cut else ''}'"

    def literal(self, obj: Any) -> str:
        try:
            return self.cut_words(repr(obj))
        except Exception as exc:
            return _unrepresentable(obj, exc)

    def cut_words(self, text: str) -> str:
        """Cut at the last space that leaves room."""
        if len(text) < self.room or self.room <= 0:
            return text
        return text[: int(self.room)].rsplit(" ", 1)[0] + _CUT


def _unrepresentable(obj: Any, error: Exception) -> str:
    try:
        reason = repr(error)
    except Exception:
        reason = type(error).__name__
    return f"<Unrepresentable {type(obj)!r}{id(obj):#x}: {reason}>"
