"""Remote control as a client sees it: `Control` (``app.control``) and `Inspect`, and the messages they exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from celeriac.control.client import Control
    from celeriac.control.inspecting import Inspect

__all__ = ["Control", "Inspect"]

__getattr__ = lazy_exports(__name__, {
    "Control": "celeriac.control.client",
    "Inspect": "celeriac.control.inspecting",
})  # fmt: skip
