"""What a misspelt name was probably meant to be.  Names of settings have rules of their own, in `config.names`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Likeness, from 0 to 1, from which a name counts as a slip of another; "parent" and "parent_id" have 0.8.
_SIMILARITY = 0.82


def closest(name: str, known: Iterable[str], similarity: float = _SIMILARITY) -> str | None:
    """The known name that ``name`` is a slip of, or None.

    Args:
        name: What was written.
        known: What could have been meant.
        similarity: From 0 to 1: how alike they have to be.

    >>> closest("contdown", ["countdown", "eta"])
    'countdown'
    """
    # Loaded here because most programs misspell nothing, and `import celeriac` has to be quick.
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1, cutoff=similarity)
    return found[0] if found else None
