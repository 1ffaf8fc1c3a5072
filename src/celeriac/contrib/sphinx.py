"""Tasks in the documentation that Sphinx makes of docstrings.

In ``conf.py``::

    extensions = ["sphinx.ext.autodoc", "celeriac.contrib.sphinx"]
    celery_task_prefix = "(task)"  # before the names of tasks

``.. autotask:: proj.tasks.add`` documents one task, and ``.. automodule:: proj.tasks`` with ``:members:`` those of a
module. ``.. py:task::`` describes one by hand, and the role ``:py:task:`` refers to one.

Sphinx 9 lets extensions take part in ``automodule`` only with ``autodoc_use_legacy_class_based = True``.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.domains.python import PyFunction, PyXRefRole
from sphinx.ext.autodoc import FunctionDocumenter

from celeriac._version import __version__
from celeriac.app.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sphinx.application import Sphinx

__all__ = ["TaskDirective", "TaskDocumenter", "setup"]


class TaskDocumenter(FunctionDocumenter):
    """Documents a task by its function."""

    objtype = "task"
    member_order = 11
    # Tasks of a module are data to Sphinx, which has a documenter for that too.
    priority = FunctionDocumenter.priority + 10

    @classmethod
    def can_document_member(cls, member: Any, membername: str, isattr: bool, parent: Any) -> bool:
        """Whether it is a task with a function."""
        return isinstance(member, Task) and getattr(member, "__wrapped__", None) is not None

    def format_args(self, **kwargs: Any) -> str:
        """The arguments that callers give."""
        return str(inspect.signature(self.object.run))

    def get_doc(self) -> list[list[str]] | None:
        """The docstring, by lines."""
        text = inspect.getdoc(self.object.__wrapped__)
        return [[*text.splitlines(), ""]] if text else []

    def check_module(self) -> bool:
        """Whether it was declared in the module that is documented."""
        return bool(self.object.__wrapped__.__module__ == self.modname)


class TaskDirective(PyFunction):
    """Describes a task."""

    def get_signature_prefix(self, sig: str) -> Sequence[nodes.Node]:
        """What stands before its name."""
        return [nodes.Text(f"{self.env.config.celery_task_prefix} ")]


def _skip_no_task(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Sphinx skips what has the docstring of its class; a task has that of its function."""
    function = getattr(obj, "__wrapped__", None) if isinstance(obj, Task) else None
    return False if function is not None and function.__doc__ else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_autodocumenter(TaskDocumenter)
    app.add_directive_to_domain("py", "task", TaskDirective)
    app.add_role_to_domain("py", "task", PyXRefRole())
    app.add_config_value("celery_task_prefix", "(task)", "env", types=frozenset({str}))
    app.connect("autodoc-skip-member", _skip_no_task)
    return {"version": __version__, "parallel_read_safe": True}
