"""Originals that tests of the door must not see, though another test of the process has imported them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from celeriac.compat.importer import Facade

if TYPE_CHECKING:
    import pytest

_ROOTS = ("amqp", "kombu", "vine")


def hide_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take kombu out of the loaded modules until the test ends."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _ROOTS and not isinstance(module, Facade):
            monkeypatch.delitem(sys.modules, name)
