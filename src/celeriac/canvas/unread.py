"""The tasks of a group that was made of an iterator: read piece by piece as they are sent, few at a time.

What was read is kept in little space, as a group can be sent again and looked at afterwards.
"""

from __future__ import annotations

import pickle
import zlib
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from celeriac.canvas.signature import Signature, as_signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.current import AppLike

__all__ = ["Unread"]

#: Tasks that are read at once.
_PIECE: Final = 500


class Unread:
    """An iterator of signatures that can be gone through again and again.

    Args:
        items: What to read.
    """

    __slots__ = ("_items", "_pieces")

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self._pieces: list[_Packed | list[Signature]] = []

    def first(self) -> Signature | None:
        """The first task, which is read now; None if there is none."""
        for item in self._items:
            signature = as_signature(item)
            self._items = chain((signature,), self._items)
            return signature
        return None

    def everything(self) -> list[Signature]:
        """All tasks, for the last time: what they were read from is used up."""
        read = [signature for piece in self._pieces for signature in piece]
        return [*read, *map(as_signature, self._items)]

    def __iter__(self) -> Iterator[Signature]:
        position = 0
        while True:
            if position < len(self._pieces):
                yield from self._pieces[position]
            elif piece := [as_signature(item) for item in islice(self._items, _PIECE)]:
                self._pieces.append(_packed(piece))
                yield from piece
            else:
                return
            position += 1


class _Packed:
    """Signatures in little space."""

    __slots__ = ("_app", "_data")

    def __init__(self, app: AppLike | None, data: bytes) -> None:
        self._app = app
        self._data = data

    def __iter__(self) -> Iterator[Signature]:
        for each in pickle.loads(zlib.decompress(self._data)):
            yield Signature(each, app=self._app)


def _packed(piece: list[Signature]) -> _Packed | list[Signature]:
    """The same signatures; as they are where something would be lost."""
    app = piece[0]._app
    if app is None or not all(_is_known(app, each) for each in piece):
        return piece
    try:
        data = pickle.dumps([dict(each) for each in piece], pickle.HIGHEST_PROTOCOL)
    except Exception:
        # Whatever the arguments raise that cannot be pickled.
        return piece
    return _Packed(app, zlib.compress(data, 1))


def _is_known(app: AppLike, signature: Signature) -> bool:
    task = signature._type
    return (
        type(signature) is Signature
        and signature._app is app
        and (task is None or app.tasks.get(signature["task"]) is task)
    )
