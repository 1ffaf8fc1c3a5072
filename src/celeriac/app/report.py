"""What a bug report needs to say: ``app.bugreport()`` and ``celeriac report``.  It connects to nothing."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Any

from celeriac._version import __version__
from celeriac.utils.imports import qualname
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.app.base import Celery

__all__ = ["bugreport", "facts", "render"]


def facts(app: Celery) -> dict[str, Any]:
    """Versions, platform, URLs and changed settings; passwords and keys are masked.

    Args:
        app: The application.
    """
    return {
        "celeriac": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
        },
        "app": app.main,
        "loader": app.loader_cls if isinstance(app.loader_cls, str) else qualname(app.loader_cls),
        "transport": redact(app.broker.url),
        "results": redact(app.backend.url),
        "settings": app.conf.table(with_defaults=False, censored=True),
    }


def render(found: Mapping[str, Any]) -> str:
    """What `facts` found, as text.

    Args:
        found: The facts; versions under ``packages`` are shown too.
    """
    system, settings = found["platform"], found["settings"]
    packages = " ".join(f"{name}:{number}" for name, number in found.get("packages", {}).items())
    lines = [
        "",
        f"software -> celeriac:{found['celeriac']} py:{found['python']}",
        *([f"packages -> {packages}"] if packages else ()),
        f"platform -> system:{system['system']} arch:{system['machine']} kernel:{system['release']}",
        f"executable -> {found['executable']}",
        f"app -> {found['app'] or '__main__'} loader:{found['loader']}",
        f"transport -> {found['transport']}",
        f"results -> {found['results']}",
        f"settings -> {'these, besides the defaults:' if settings else 'all have their defaults'}",
        "",
        *(f"{key}: {value!r}" for key, value in settings.items()),
        "",
    ]
    return "\n".join(lines)


def bugreport(app: Celery) -> str:
    """Versions, platform, broker, result backend and changed settings; passwords are masked.

    Args:
        app: The application.
    """
    return render(facts(app))
