"""Stamps: headers of the user's own on every task of a workflow.  Which tasks there are is the signatures' business."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.canvas.signature import Signature

__all__ = ["StampingVisitor", "apply_stamps", "combine"]

_NAMES = "stamped_headers"


class StampingVisitor(ABC):
    """Decides on stamps, part by part, as `Signature.stamp` goes through a workflow.

    What a method returns is stamped: every key, or those in the list ``stamped_headers`` if there is one; other keys
    become options of the call. ``headers`` are those that parts further out have brought.
    """

    @abstractmethod
    def on_signature(self, sig: Signature, **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of one task."""

    def on_group_start(self, group: Signature, **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of every task of a group."""
        return None

    def on_group_end(self, group: Signature, **headers: Any) -> None:  # noqa: B027 - may be left as it is
        """Called after the tasks of a group."""

    def on_chain_start(self, chain: Signature, **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of every task of a chain."""
        return None

    def on_chain_end(self, chain: Signature, **headers: Any) -> None:  # noqa: B027 - may be left as it is
        """Called after the tasks of a chain."""

    def on_chord_header_start(self, chord: Signature, **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of every task of a chord's header; those of a group, unless a subclass says otherwise."""
        return self.on_group_start(_header_of(chord), **headers)

    def on_chord_header_end(self, chord: Signature, **headers: Any) -> None:
        """Called after the tasks of a chord's header."""
        self.on_group_end(_header_of(chord), **headers)

    def on_chord_body(self, chord: Signature, **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of the body of a chord."""
        return None

    def on_callback(self, callback: Signature, **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of a task that is linked to success."""
        return None

    def on_errback(self, errback: Signature, **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of a task that is linked to failure."""
        return None


def _header_of(chord: Any) -> Any:
    """The header of a chord as a group, of the very signatures that are in it."""
    header = chord.kwargs["header"]
    return chord.TYPES["group"](header, app=chord._app) if isinstance(header, list) else header


def combine(headers: Mapping[str, Any], more: Mapping[str, Any] | None) -> dict[str, Any]:
    """Headers with those a visitor returned.

    Args:
        headers: Headers so far.
        more: What a method of a visitor returned.
    """
    more = more or {}
    names = dict.fromkeys((*_stamps_of(headers), *_stamps_of(more)))
    combined = {**headers, **more}
    if names or _NAMES in combined:
        combined[_NAMES] = list(names)
    return combined


def _stamps_of(headers: Mapping[str, Any]) -> list[str]:
    names = headers.get(_NAMES)
    return [key for key in headers if key != _NAMES] if names is None else list(names)


def apply_stamps(options: dict[str, Any], headers: Mapping[str, Any], *, append: bool) -> None:
    """Put headers into the options of a signature.

    Args:
        options: Changed in place.
        headers: What `combine` returned.
        append: A stamp that is there already keeps its values, and gets the new ones too.
    """
    stamped = _stamps_of(headers)
    if not headers:
        return
    before = options.get(_NAMES) or ()
    for key, value in headers.items():
        if key == _NAMES:
            continue
        if isinstance(value, set | frozenset):
            # Stamps of later steps are part of a message's body, and JSON has no sets.
            value = list(value)
        if append and key in before and key in options:
            known = _as_list(options[key])
            options[key] = known + [each for each in _as_list(value) if each not in known]
        else:
            options[key] = value
    options[_NAMES] = list(dict.fromkeys((*before, *stamped)))


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
