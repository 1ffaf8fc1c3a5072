"""The list of a chord's parts that were added while it ran: they have no place in its header, so tasks are listed.

Pages only grow, and all but the last are full: who changes the last one knows all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import ABSENT
from celeriac.backend.kv.layout import BLOCK
from celeriac.serialization.json_types import dumps, loads
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.backend.kv.layout import ChordKeys
    from celeriac.backend.kv.values import Values

#: Pages read at once.
_PAGES: Final = 8


@dataclass
class Listed:
    """What was read of the list.

    Attributes:
        indexes: The index of each task, or None.
        page: Number of the last page.
        on_page: What is on that.
        version: Of that; `ABSENT` for a page that is not there yet.
    """

    indexes: dict[str, int | None]
    page: int
    on_page: list[Any]
    version: Any


def read_added(values: Values, keys: ChordKeys) -> Listed:
    """Read the list of a chord."""
    listed = Listed({}, 0, [], ABSENT)
    while True:
        first = listed.page if listed.version is ABSENT else listed.page + 1
        wanted = [keys.added_page(number) for number in range(first, first + _PAGES)]
        found = values.read(wanted)
        for number, key in enumerate(wanted, first):
            if key not in found:
                return listed
            listed.page, listed.version, listed.on_page = number, found[key].version, loads(found[key].data)
            listed.indexes.update((task_id, index) for task_id, index in listed.on_page)


def append_added(values: Values, keys: ChordKeys, listed: Listed, new: Mapping[str, int | None]) -> bool:
    """Put tasks on the list that are not on it; False if it is not as it was read, and some may be on it."""
    entries = [[task_id, index] for task_id, index in new.items() if task_id not in listed.indexes]
    page, on_page, version = listed.page, listed.on_page, listed.version
    while entries:
        room = BLOCK - len(on_page)
        if room:
            if not values.swap(keys.added_page(page), dumps(on_page + entries[:room]), version):
                return False
            entries = entries[room:]
        page, on_page, version = page + 1, [], ABSENT
    return True
