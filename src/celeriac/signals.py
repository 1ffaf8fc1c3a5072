"""Signals: hooks that user code connects to.  When they are sent is decided by client, worker and beat.

A sender first looks at `Signal.receivers`; an unused signal costs one attribute read.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Signal",
    "after_setup_logger",
    "after_setup_task_logger",
    "after_task_publish",
    "beat_embedded_init",
    "beat_init",
    "before_task_publish",
    "celeryd_after_setup",
    "celeryd_init",
    "eventlet_pool_apply",
    "eventlet_pool_postshutdown",
    "eventlet_pool_preshutdown",
    "eventlet_pool_started",
    "heartbeat_sent",
    "import_modules",
    "setup_logging",
    "task_failure",
    "task_internal_error",
    "task_postrun",
    "task_prerun",
    "task_received",
    "task_rejected",
    "task_retry",
    "task_revoked",
    "task_sent",
    "task_success",
    "task_unknown",
    "user_preload_options",
    "worker_before_create_process",
    "worker_init",
    "worker_process_init",
    "worker_process_shutdown",
    "worker_ready",
    "worker_shutdown",
    "worker_shutting_down",
]

F = TypeVar("F", bound="Callable[..., Any]")

_CO_VARKEYWORDS = 0x08
#: Seconds between attempts of a receiver connected with ``retry=True``: 2, 4, ... and at most 30.
_RETRY_STEP = 2.0
_RETRY_MAX = 30.0


class _Receiver:
    """One connected callable."""

    __slots__ = ("ref", "retry", "sender", "strong", "uid")

    def __init__(self, strong: Any, ref: Any, sender: Any, uid: Any, retry: bool) -> None:
        self.strong = strong
        self.ref = ref
        self.sender = sender
        self.uid = uid
        self.retry = retry

    def target(self) -> Callable[..., Any] | None:
        return self.strong if self.ref is None else self.ref()  # type: ignore[no-any-return]

    def wants(self, sender: Any) -> bool:
        """Whether it listens to ``sender``: that object, or a task by its name."""
        own = self.sender
        if own is None or own is sender:
            return True
        if isinstance(own, str):
            return own == (sender if isinstance(sender, str) else getattr(sender, "name", None))
        return bool(own == sender)


class Signal:
    """Receivers of one kind of happening.

    Args:
        name: Its name in log lines.
        providing_args: Names of the keyword arguments receivers get; documentation only.

    Attributes:
        receivers: What is connected; falsy when nothing is.
    """

    def __init__(
        self, name: str | None = None, providing_args: set[str] | None = None, use_caching: bool = False
    ) -> None:
        if use_caching:
            raise TypeError("Signal(use_caching=True) is not supported: looking up receivers is not cached")
        self.name = name
        self.providing_args = frozenset(providing_args or ())
        self.receivers: tuple[_Receiver, ...] = ()

    @overload
    def connect(
        self,
        receiver: F,
        /,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Any = None,
        retry: bool = False,
    ) -> F: ...

    @overload
    def connect(
        self,
        receiver: None = None,
        /,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Any = None,
        retry: bool = False,
    ) -> Callable[[F], F]: ...

    def connect(
        self,
        receiver: Any = None,
        /,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Any = None,
        retry: bool = False,
    ) -> Any:
        """Connect a receiver; also usable as a decorator, with or without arguments.

        Args:
            receiver: Called as ``receiver(signal=, sender=, **kwargs)``; it must accept ``**kwargs``.
            sender: Only happenings of this sender, an object or the name of a task; None is every sender.
            weak: Keep a weak reference: the receiver is disconnected when it is garbage collected.
            dispatch_uid: Connect a receiver of this name only once.
            retry: Call a failing receiver again, after 2, 4, ... at most 30 seconds, until it succeeds.

        Raises:
            TypeError: It is not callable.
            ValueError: It does not accept ``**kwargs``.
        """
        if receiver is None:
            return lambda function: self._connect(function, sender, weak, dispatch_uid, retry)
        return self._connect(receiver, sender, weak, dispatch_uid, retry)

    def _connect(self, receiver: Any, sender: Any, weak: bool, dispatch_uid: Any, retry: bool) -> Any:
        if not callable(receiver):
            raise TypeError(f"A signal receiver must be callable, got {receiver!r}")
        if not _accepts_kwargs(receiver):
            raise ValueError(f"Signal receiver {receiver!r} must accept keyword arguments (**kwargs)")
        uid = dispatch_uid if dispatch_uid is not None else _identity(receiver)
        if any(known.uid == uid and _same(known.sender, sender) for known in self.receivers):
            return receiver
        strong, ref = (None, self._weak_reference(receiver)) if weak else (receiver, None)
        self.receivers = (*self.receivers, _Receiver(strong, ref, sender, uid, retry))
        return receiver

    def _weak_reference(self, receiver: Any) -> Any:
        if hasattr(receiver, "__self__") and hasattr(receiver, "__func__"):
            return weakref.WeakMethod(receiver, self._forget)
        return weakref.ref(receiver, self._forget)

    def _forget(self, ref: Any) -> None:
        self.receivers = tuple(known for known in self.receivers if known.ref is not ref)

    def disconnect(
        self, receiver: Any = None, sender: Any = None, weak: bool | None = None, dispatch_uid: Any = None
    ) -> bool:
        """Disconnect a receiver; returns whether it was connected.

        Args:
            receiver: The receiver; not needed with a ``dispatch_uid``.
            sender: The sender it was connected with.
            weak: Accepted for the signature's sake: both kinds of reference are found.
            dispatch_uid: The name it was connected with.
        """
        uid = dispatch_uid if dispatch_uid is not None else _identity(receiver)
        kept = tuple(r for r in self.receivers if not (r.uid == uid and _same(r.sender, sender)))
        found = len(kept) != len(self.receivers)
        self.receivers = kept
        return found

    def has_listeners(self, sender: Any = None) -> bool:
        """Whether anything listens to ``sender``."""
        return any(receiver.wants(sender) for receiver in self.receivers)

    def send(self, sender: Any, **named: Any) -> list[tuple[Callable[..., Any], Any]]:
        """Call every receiver; returns pairs of receiver and answer.

        An exception of a receiver is logged and becomes its answer.

        Args:
            sender: Who sends it.
            **named: What the receivers get.
        """
        responses = []
        for entry in self.receivers:
            target = entry.target() if entry.wants(sender) else None
            if target is not None:
                responses.append((target, self._call(target, entry.retry, sender, named)))
        return responses

    def _call(self, target: Callable[..., Any], retry: bool, sender: Any, named: dict[str, Any]) -> Any:
        delay = 0.0
        while True:
            try:
                return target(signal=self, sender=sender, **named)
            except Exception as exc:
                if not retry:
                    _log("Signal handler %r raised: %r", target, exc)
                    return exc
                delay = min(delay + _RETRY_STEP, _RETRY_MAX)
                _log("Signal handler %r raised: %r; trying again in %g s", target, exc, delay)
                time.sleep(delay)

    send_robust = send

    def __repr__(self) -> str:
        return f"<Signal: {self.name} providing_args={sorted(self.providing_args)!r}>"


def _log(message: str, *args: Any) -> None:
    """Log the exception being handled."""
    import logging

    logging.getLogger("celeriac.signals").exception(message, *args)


def _identity(receiver: Any) -> Any:
    owner = getattr(receiver, "__self__", None)
    if owner is not None and hasattr(receiver, "__func__"):
        return id(owner), id(receiver.__func__)
    return id(receiver)


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str) and one == other)


def _accepts_kwargs(receiver: Any) -> bool:
    """Read the code's flags: `inspect` is too slow to import for this."""
    code = getattr(receiver, "__code__", None)
    if code is None:
        code = getattr(getattr(type(receiver), "__call__", None), "__code__", None)  # noqa: B004 - its code is wanted
    return code is None or bool(code.co_flags & _CO_VARKEYWORDS)


_PUBLISH = {"body", "exchange", "routing_key", "headers"}
_WORKER_LOG = {"logger", "loglevel", "logfile", "format", "colorize"}

before_task_publish = Signal("before_task_publish", _PUBLISH | {"properties", "declare", "retry_policy"})
after_task_publish = Signal("after_task_publish", _PUBLISH)
task_received = Signal("task_received", {"request"})
task_prerun = Signal("task_prerun", {"task_id", "task", "args", "kwargs"})
task_postrun = Signal("task_postrun", {"task_id", "task", "args", "kwargs", "retval", "state"})
task_success = Signal("task_success", {"result", "runtime"})
task_retry = Signal("task_retry", {"request", "reason", "einfo"})
task_failure = Signal("task_failure", {"task_id", "exception", "args", "kwargs", "traceback", "einfo"})
task_internal_error = Signal(
    "task_internal_error", {"task_id", "args", "kwargs", "request", "exception", "traceback", "einfo"}
)
task_revoked = Signal("task_revoked", {"request", "terminated", "signum", "expired"})
task_unknown = Signal("task_unknown", {"name", "id", "message", "exc"})
task_rejected = Signal("task_rejected", {"message", "exc"})
#: Deprecated in favour of `after_task_publish`.
task_sent = Signal("task_sent", {"task_id", "task", "args", "kwargs", "eta", "taskset"})
import_modules = Signal("import_modules")
celeryd_init = Signal("celeryd_init", {"instance", "conf", "options"})
celeryd_after_setup = Signal("celeryd_after_setup", {"instance", "conf"})
worker_init = Signal("worker_init")
worker_before_create_process = Signal("worker_before_create_process")
worker_ready = Signal("worker_ready")
worker_process_init = Signal("worker_process_init")
worker_process_shutdown = Signal("worker_process_shutdown", {"pid", "exitcode"})
worker_shutting_down = Signal("worker_shutting_down", {"sig", "how", "exitcode"})
worker_shutdown = Signal("worker_shutdown")
heartbeat_sent = Signal("heartbeat_sent")
setup_logging = Signal("setup_logging", {"loglevel", "logfile", "format", "colorize"})
after_setup_logger = Signal("after_setup_logger", _WORKER_LOG)
after_setup_task_logger = Signal("after_setup_task_logger", _WORKER_LOG)
beat_init = Signal("beat_init")
beat_embedded_init = Signal("beat_embedded_init")
eventlet_pool_started = Signal("eventlet_pool_started")
eventlet_pool_preshutdown = Signal("eventlet_pool_preshutdown")
eventlet_pool_postshutdown = Signal("eventlet_pool_postshutdown")
eventlet_pool_apply = Signal("eventlet_pool_apply", {"target", "args", "kwargs"})
user_preload_options = Signal("user_preload_options", {"app", "options"})
