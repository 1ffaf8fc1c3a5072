"""The application of `tests.support.zoo` as a worker under test has it, made from the file that tells the worker."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.support.zoo import make_app

told = json.loads(Path(os.environ["CELERIAC_TEST_WORKER"]).read_text())
app = make_app(told["conf"], told["ledger"])
