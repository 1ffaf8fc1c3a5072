"""Tasks in a documentation that Sphinx builds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

TASKS = '''
from celeriac import Celery, shared_task

app = Celery("docs", set_as_current=False)


@app.task(bind=True)
def add(self, x: int, y: int = 0) -> int:
    """Add numbers.

    Quickly.
    """
    return x + y


@shared_task
def shared(name):
    """Say hello."""


def helper():
    """Help."""
'''
CONF = """
extensions = ["sphinx.ext.autodoc", "celeriac.contrib.sphinx"]
celery_task_prefix = "[job]"
autodoc_use_legacy_class_based = True
nitpicky = True
nitpick_ignore = [("py:class", "int")]
"""
INDEX = """
.. autotask:: their_tasks.add

See :py:task:`their_tasks.add` and :py:task:`by_hand`.

.. py:task:: by_hand(x)

   Written by hand.
"""
MEMBERS = """
:orphan:

.. automodule:: their_tasks
   :members:
   :no-index:
"""


def test_tasks_are_documented(tmp_path: Path) -> None:
    for name, text in {"conf.py": CONF, "their_tasks.py": TASKS, "index.rst": INDEX, "members.rst": MEMBERS}.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "text", ".", "out"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    index = (tmp_path / "out" / "index.txt").read_text()
    assert "[job] their_tasks.add(x: int, y: int = 0) -> int\n\n   Add numbers.\n\n   Quickly.\n" in index
    assert '"their_tasks.add" and "by_hand"' in index
    assert "[job] by_hand(x)\n\n   Written by hand." in index
    members = (tmp_path / "out" / "members.txt").read_text()
    assert "[job] their_tasks.shared(name)\n\n   Say hello." in members
    assert "[job] their_tasks.add" in members
    assert "\ntheir_tasks.helper()\n\n   Help." in members
