"""Which Celery names our public classes have on the wire.  It imports none of them.

Peers running Celery rebuild exceptions and signatures by module and name; ours are therefore written under
Celery's names, and Celery's are read as ours.
"""

from __future__ import annotations

import pkgutil
import sys
from typing import Any, Final

from celeriac import exceptions

_BILLIARD: Final = frozenset({"SoftTimeLimitExceeded", "Terminated", "TimeLimitExceeded", "WorkerLostError"})
_KOMBU: Final = frozenset({"ContentDisallowed", "DecodeError", "EncodeError", "OperationalError", "SerializationError"})
#: Exceptions Celery does not have; its peers make a class of that name.
_OURS_ALONE: Final = frozenset(
    {"GraphMissing", "PublishTimeout", "SessionClosed", "SessionLost", "SessionRefused", "UnknownSettingWarning"}
)
#: Every signature and workflow is pickled as a call of `signature`.
_CANVAS: Final = frozenset({"Signature", "signature"})
#: Celery's module → ours.
_READ: Final = {
    "celery.exceptions": "celeriac.exceptions",
    "kombu.exceptions": "celeriac.exceptions",
    "billiard.exceptions": "celeriac.exceptions",
    "celery.utils.serialization": "celeriac.serialization.failures",
    "celery.states": "celeriac.states",
    "celery.canvas": "celeriac.canvas.signature",
}
_EXCEPTION_MODULES: Final = frozenset({"celery.exceptions", "kombu.exceptions", "billiard.exceptions"})


def wire_module(module: str, name: str) -> str:
    """The module to write on the wire for ``module.name``."""
    if module == "celeriac.exceptions" and name in exceptions.__all__:
        return _exception_module(name)
    if module == "celeriac.serialization.failures" and name == "UnpickleableExceptionWrapper":
        return "celery.utils.serialization"
    if module == "celeriac.states" and name == "state":
        return "celery.states"
    if module.startswith("celeriac.canvas") and name in _CANVAS:
        return "celery.canvas"
    return module


def _exception_module(name: str) -> str:
    if name in _BILLIARD:
        return "billiard.exceptions"
    if name in _KOMBU:
        return "kombu.exceptions"
    return "celeriac.exceptions" if name in _OURS_ALONE else "celery.exceptions"


def own_exception(module: str, name: str) -> type[BaseException] | None:
    """Our class for an exception of Celery, kombu or billiard; None when there is none."""
    if module not in _EXCEPTION_MODULES or name not in exceptions.__all__:
        return None
    found = getattr(exceptions, name)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def own_module(module: str) -> str | None:
    """Our counterpart of a module of Celery, kombu or billiard; None when there is none."""
    return _READ.get(module)


def resolve_wire_name(name: str) -> Any:
    """`pkgutil.resolve_name` that finds our classes under Celery's names (see `pickling`)."""
    module, _, attribute = name.partition(":")
    ours = own_module(module)
    if ours is not None:
        __import__(ours)
        found = getattr(sys.modules[ours], attribute, None)
        if found is not None:
            return found
    return pkgutil.resolve_name(name)
