"""``python -m tests.support.run_worker <file>``: a worker of the application of `tests.support.zoo`.

The file holds, as JSON, ``conf``, ``ledger`` and ``options`` (of `WorkerOptions`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.assembly import Worker, WorkerOptions
from tests.support.zoo import make_app


def main() -> int:
    told = json.loads(Path(sys.argv[1]).read_text())
    app = make_app(told["conf"], told["ledger"])
    try:
        return Worker(app, WorkerOptions(**told["options"])).start()
    except ImproperlyConfigured as exc:
        print(f"error: {exc}", file=sys.stderr)  # noqa: T201 - the worker's last word
        return 2


if __name__ == "__main__":
    sys.exit(main())
