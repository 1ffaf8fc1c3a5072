"""``python -m tests.interop.result_store``: real Celery stores results, reads ours, and prints what it found.

It takes the settings as JSON on the command line, and runs in the environment of real Celery.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def main() -> None:
    """Store under ``theirs-*``, and print what is under ``ours-*``."""
    # By name, so that type checkers look for it nowhere.
    celery, result = importlib.import_module("celery"), importlib.import_module("celery.result")
    app = celery.Celery("interop")
    app.conf.update(json.loads(sys.argv[1]))
    app.backend.store_result("theirs-success", {"a": [1, "č"]}, "SUCCESS")
    app.backend.store_result("theirs-started", {"pid": 1}, "STARTED")
    app.backend.store_result("theirs-failure", ValueError("bad", 3), "FAILURE", traceback="Traceback …")
    result.GroupResult("theirs-group", [result.AsyncResult("member", app=app)], app=app).save()
    found: dict[str, Any] = {}
    for name in ("success", "started"):
        meta = app.backend.get_task_meta(f"ours-{name}")
        found[name] = [meta["status"], meta["result"]]
    failure = app.AsyncResult("ours-failure")
    found["failure"] = [failure.state, repr(failure.result), failure.traceback]
    restored = result.GroupResult.restore("ours-group", app=app)
    found["group"] = None if restored is None else [child.id for child in restored]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
