"""Commands about the memory of the worker's own process."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.process import rss_kib
from celeriac.worker.commands.registry import INSPECT

if TYPE_CHECKING:
    from celeriac.worker.commands.state import ControlState

#: Samples kept.
_MAX_SAMPLES = 1000


def memsample(state: ControlState, **_: Any) -> str:
    """Sample current RSS memory usage."""
    kib = rss_kib()
    state.samples.append((time.time(), kib))
    del state.samples[:-_MAX_SAMPLES]
    return _human(kib)


def memdump(state: ControlState, samples: int = 10, **_: Any) -> str:
    """Dump statistics of previous memsample requests."""
    shown = state.samples[-samples:] if samples > 0 else []
    lines = [f"- {_human(kib)}" for _, kib in shown]
    return "\n".join(["- rss (sample):", *lines, f"- rss (end): {_human(rss_kib())}."])


def objgraph(
    state: ControlState, num: int = 200, max_depth: int = 10, type: str = "Request", **_: Any
) -> dict[str, Any]:
    """Create graph of uncollected objects (memory-leak debugging)."""
    try:
        import objgraph as library  # type: ignore[import-untyped]
    except ImportError:
        raise ImproperlyConfigured("objgraph needs the package objgraph where the worker runs") from None
    with tempfile.NamedTemporaryFile(prefix="cobjg", suffix=".png", delete=False) as file:
        found = library.by_type(type)[:num]
        library.show_backrefs(found, max_depth=max_depth, highlight=lambda each: each in found, filename=file.name)
        return {"filename": file.name}


def _human(kib: int) -> str:
    return f"{kib / 1024:.2f}MB"


COMMANDS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (memsample, {"type": INSPECT}),
    (memdump, {"type": INSPECT, "args": [("samples", int)], "signature": "[n_samples=10]"}),
    (
        objgraph,
        {
            "type": INSPECT,
            "args": [("type", str), ("num", int), ("max_depth", int)],
            "signature": "[object_type=Request] [num=200 [max_depth=10]]",
            "default_timeout": 60.0,
        },
    ),
)
