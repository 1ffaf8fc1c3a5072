"""``python -m tests.support.run_worker <file>``: a worker of the application of `tests.support.zoo`.

The file holds, as JSON, ``conf``, ``ledger``, ``options`` (of `WorkerOptions`), and ``change``: settings that are
changed after the application was imported.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.assembly import Worker, WorkerOptions


def main() -> int:
    os.environ["CELERIAC_TEST_WORKER"] = sys.argv[1]
    # A module of its own: children that are not forked import it too.
    from tests.support import zoo_app

    told, app = json.loads(Path(sys.argv[1]).read_text()), zoo_app.app
    if "CELERIAC_TEST_ANONYMOUS" in os.environ:
        del zoo_app.app
    app.conf.update(told["change"])
    try:
        return Worker(app, WorkerOptions(**told["options"])).start()
    except ImproperlyConfigured as exc:
        print(f"error: {exc}", file=sys.stderr)  # noqa: T201 - the worker's last word
        return 2


if __name__ == "__main__":
    sys.exit(main())
