"""Base classes of result stores that are written for Celery: subclasses are result backends of Celeriac.

A subclass has Celery's methods (`base`, `keyvalue`); what Celeriac asks of a result backend is made of those (`port`).
"""

from __future__ import annotations

from celeriac.backend.disabled import DisabledBackend
from celeriac.compat.backends.base import BaseBackend, SyncBackendMixin
from celeriac.compat.backends.keyvalue import KeyValueStoreBackend
from celeriac.current import get_current_task

__all__ = [
    "Backend",
    "BaseBackend",
    "BaseDictBackend",
    "BaseKeyValueStoreBackend",
    "DisabledBackend",
    "KeyValueStoreBackend",
    "SyncBackendMixin",
    "get_current_task",
    "unpickle_backend",
]

Backend = BaseBackend
BaseDictBackend = BaseBackend
BaseKeyValueStoreBackend = KeyValueStoreBackend


def unpickle_backend(cls: type[BaseBackend], args: tuple[object, ...], kwargs: dict[str, object]) -> BaseBackend:
    """The backend that a pickle of Celery names, for the current app."""
    from celeriac.current import get_current_app

    return cls(*args, app=get_current_app(), **kwargs)
