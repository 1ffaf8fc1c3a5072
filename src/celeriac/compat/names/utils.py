"""The modules of ``celery.utils``."""

from __future__ import annotations

from typing import Final

from celeriac.compat.names.row import Row, names_of

__all__ = ["UTILS"]

_HERE: Final = "celeriac.compat.utils"
_SIGNAL: Final = Row(None, names_of("celeriac.signals", "Signal"))

UTILS: Final[dict[str, Row]] = {
    "celery.utils": Row(
        None,
        {
            **names_of("celeriac.utils.uuid", uuid="uuid4", gen_unique_id="uuid4"),
            **names_of(f"{_HERE}.functional", "chunks", "memoize", "noop"),
            **names_of(f"{_HERE}.objects", "cached_property"),
            **names_of(
                "celeriac.utils.imports",
                "gen_task_name",
                "import_from_cwd",
                "instantiate",
                get_cls_by_name="symbol_by_name",
                get_full_cls_name="qualname",
            ),
            **names_of("celeriac.utils.nodenames", "nodename", "nodesplit"),
            **names_of("celeriac.app.queues", "worker_direct"),
            **names_of(f"{_HERE}.log", "LOG_LEVELS"),
        },
    ),
    "celery.utils.abstract": Row(instead="test for celeriac.Task and celeriac.Signature"),
    "celery.utils.collections": Row(f"{_HERE}.collections"),
    "celery.utils.deprecated": Row(f"{_HERE}.deprecated"),
    "celery.utils.dispatch": _SIGNAL,
    "celery.utils.dispatch.signal": _SIGNAL,
    "celery.utils.functional": Row(f"{_HERE}.functional"),
    "celery.utils.graph": Row("celeriac.utils.graph", names_of("celeriac.utils.graph", DOT="DOTFormatter")),
    "celery.utils.imports": Row(f"{_HERE}.imports"),
    "celery.utils.iso8601": Row(None, names_of("celeriac.utils.time", "parse_iso8601")),
    "celery.utils.log": Row(f"{_HERE}.log"),
    "celery.utils.nodenames": Row("celeriac.utils.nodenames", names_of("celeriac.app.queues", "worker_direct")),
    "celery.utils.objects": Row(f"{_HERE}.objects"),
    "celery.utils.saferepr": Row("celeriac.utils.saferepr"),
    "celery.utils.serialization": Row(f"{_HERE}.serialization"),
    "celery.utils.sysinfo": Row(f"{_HERE}.sysinfo"),
    "celery.utils.text": Row(f"{_HERE}.text"),
    "celery.utils.threads": Row(f"{_HERE}.threads"),
    "celery.utils.time": Row(f"{_HERE}.time"),
    "celery.utils.timer2": Row(instead="use threading.Timer or asyncio"),
    "celery.utils.uuid": Row(None, names_of("celeriac.utils.uuid", uuid="uuid4")),
}
