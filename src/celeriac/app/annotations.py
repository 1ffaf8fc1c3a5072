"""The setting ``task_annotations``: attributes of tasks, changed from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.imports import symbol_by_name

__all__ = ["compile_annotations"]


class MapAnnotation:
    """A mapping of task names to attributes; ``*`` is every task."""

    def __init__(self, mapping: Mapping[str, Mapping[str, Any]]) -> None:
        self._mapping = mapping

    def annotate_any(self) -> Mapping[str, Any] | None:
        """Attributes for every task."""
        return self._mapping.get("*")

    def annotate(self, task: Any) -> Mapping[str, Any] | None:
        """Attributes for one task."""
        return self._mapping.get(task.name)


def compile_annotations(annotations: Any) -> list[Any]:
    """Make a list of annotation objects of the setting.

    Raises:
        ImproperlyConfigured: It is no mapping, object with ``annotate``, dotted path, or list of those.
    """
    if not annotations:
        return []
    if not isinstance(annotations, list | tuple):
        annotations = [annotations]
    return [_compile(annotation) for annotation in annotations]


def _compile(annotation: Any) -> Any:
    if isinstance(annotation, str):
        annotation = symbol_by_name(annotation)
    if isinstance(annotation, type):
        annotation = annotation()
    if isinstance(annotation, Mapping):
        return MapAnnotation(annotation)
    if hasattr(annotation, "annotate") and hasattr(annotation, "annotate_any"):
        return annotation
    raise ImproperlyConfigured(
        f"task_annotations has the entry {annotation!r}: use a mapping of task names to attributes, or an object "
        "with the methods annotate(task) and annotate_any()"
    )
