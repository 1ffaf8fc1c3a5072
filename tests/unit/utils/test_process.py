"""Names of processes."""

from __future__ import annotations

import subprocess
import sys

import pytest

NAME_AND_LOG = """
import logging, sys{more}
from celeriac.utils.process import set_process_name
set_process_name("ForkPoolWorker-7", "node")
logging.basicConfig(format="%(processName)s %(message)s", stream=sys.stdout)
logging.warning("%s", "multiprocessing" in sys.modules)
import multiprocessing
logging.warning("loaded")
"""


@pytest.mark.parametrize("loaded", [False, True])
def test_logs_name_the_process_without_loading_multiprocessing(loaded: bool) -> None:
    code = NAME_AND_LOG.format(more=", multiprocessing" if loaded else "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"ForkPoolWorker-7 {loaded}", "ForkPoolWorker-7 loaded"]
