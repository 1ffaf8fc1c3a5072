"""What a test and its client process say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Seconds to await a result: many, for a machine that has much else to do.
PATIENCE = 60.0


@dataclass
class Sig:
    """A signature, of whichever library gets it."""

    task: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    immutable: bool = False


@dataclass
class Failure:
    """An exception as a client got it.

    Attributes:
        name: Qualified name of its class.
        module: Module of its class.
        args: Its arguments, by repr where they are not plain.
        text: ``str()`` of it.
        bases: Names of the classes it can be caught by.
    """

    name: str
    module: str
    args: tuple[Any, ...]
    text: str
    bases: list[str]


@dataclass
class Outcome:
    """How a task ended, as its `AsyncResult` tells it.

    Attributes:
        state: State.
        value: Return value.
        error: What `get` raises.
        traceback: Text of the traceback.
        raised: `get` with ``propagate`` raises the same class.
        fields: The other attributes of the result.
    """

    state: str
    value: Any = None
    error: Failure | None = None
    traceback: str | None = None
    raised: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
