"""A session inherited through a fork goes when the interpreter does: nothing is printed."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys

from celeriac import Celery
from celeriac.app import sessions

app = Celery(broker="memory://", backend="disabled://")
app.send_task("before")
# A module that something else still holds is emptied name by name, the private ones first.
sys.kept = sessions
child = os.fork()
app.send_task("after")
if child:
    _, status = os.waitpid(child, 0)
    print("ended with", status)
"""


def test_an_inherited_session_goes_silently_at_the_end_of_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True)
    assert (ended.stdout, ended.stderr) == ("ended with 0\n", "")
