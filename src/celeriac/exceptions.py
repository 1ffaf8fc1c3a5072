"""Every exception Celeriac raises, in one tree.  No behaviour beyond messages and pickling lives here.

The families differ by what the catcher can do about them::

    CeleryError
    ├── ImproperlyConfigured          usage: fix the configuration or the call
    ├── SecurityError
    ├── OperationalError              connectivity: retrying may help
    │   ├── PublishTimeout
    │   ├── SessionClosed             the session was closed by us
    │   ├── SessionLost               the peer or the network closed it
    │   ├── SessionRefused            credentials or permissions: do not retry
    │   └── Unroutable                no queue takes a message that has to reach one
    ├── SerializationError
    │   ├── EncodeError
    │   ├── DecodeError
    │   └── ContentDisallowed
    ├── TaskPredicate                 outcome: a task's own control flow
    │   ├── Ignore · Reject · Retry
    └── TaskError
        ├── NotRegistered · AlreadyRegistered · QueueNotFound (KeyError)
        ├── InvalidTaskError · TaskRevokedError · MaxRetriesExceededError
        ├── TimeoutError · IncompleteStream · ChordError · GraphMissing
        └── SoftTimeLimitExceeded · TimeLimitExceeded · WorkerLostError · Terminated · TaskCancelledError
    BackendError (Exception)          result store
    CeleryWarning (UserWarning)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as _dt
    from types import TracebackType

__all__ = [
    "AlreadyRegistered",
    "AlwaysEagerIgnored",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "CDeprecationWarning",
    "CPendingDeprecationWarning",
    "CeleryCommandException",
    "CeleryError",
    "CeleryWarning",
    "ChordError",
    "ContentDisallowed",
    "DecodeError",
    "DuplicateNodenameWarning",
    "DuplicateTaskNameWarning",
    "EncodeError",
    "FixupWarning",
    "GraphMissing",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotConfigured",
    "NotRegistered",
    "OperationalError",
    "PublishTimeout",
    "QueueNotFound",
    "Reject",
    "Retry",
    "SecurityError",
    "SecurityWarning",
    "SerializationError",
    "SessionClosed",
    "SessionLost",
    "SessionRefused",
    "SoftTimeLimitExceeded",
    "Superseded",
    "TaskCancelledError",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "Terminated",
    "TimeLimitExceeded",
    "TimeoutError",
    "UnknownSettingWarning",
    "Unroutable",
    "WorkerLostError",
    "WorkerShutdown",
    "WorkerTerminate",
    "reraise",
]


class CeleryWarning(UserWarning):
    """Base of all warnings."""


class AlwaysEagerIgnored(CeleryWarning):
    """send_task() publishes even though task_always_eager is set."""


class DuplicateNodenameWarning(CeleryWarning):
    """Several workers answered under the same node name."""


class DuplicateTaskNameWarning(CeleryWarning):
    """Two different functions were registered under the same task name."""


class FixupWarning(CeleryWarning):
    """A fixup could not be applied."""


class NotConfigured(CeleryWarning):
    """No configuration module was found."""


class SecurityWarning(CeleryWarning):
    """Something insecure is in use."""


class UnknownSettingWarning(CeleryWarning):
    """A setting name is unknown but close to a real one."""


class CDeprecationWarning(DeprecationWarning):
    """A deprecated name or setting is in use."""


class CPendingDeprecationWarning(PendingDeprecationWarning):
    """A name or setting will be deprecated."""


class CeleryError(Exception):
    """Base of all Celeriac errors."""


class ImproperlyConfigured(CeleryError):
    """The configuration or the arguments of a call cannot be used."""


class SecurityError(CeleryError):
    """A security check failed."""


class OperationalError(CeleryError):
    """The broker cannot be reached or did not take responsibility in time; a retry may help."""


class PublishTimeout(OperationalError):
    """The publish deadline passed; the message may or may not have been accepted."""


class SessionClosed(OperationalError):
    """The broker session was closed on this side."""


class SessionLost(OperationalError):
    """The connection to the broker broke, or its lease ran out."""


class Unroutable(OperationalError):
    """No queue takes a message that has to reach one: a binding is missing, or nobody listens."""


class Superseded(OperationalError):
    """Somebody with a newer token sends these messages now; this one was not taken."""


class SessionRefused(OperationalError):
    """The broker refused the connection: credentials or permissions."""


class SerializationError(CeleryError):
    """A payload could not be encoded or decoded."""


class EncodeError(SerializationError):
    """A value cannot be encoded by the chosen serializer."""


class DecodeError(SerializationError):
    """Bytes cannot be decoded by the serializer they name."""


class ContentDisallowed(SerializationError):
    """The content type of a message is not in accept_content."""


class TaskPredicate(CeleryError):
    """Base of exceptions a task raises to steer its own outcome."""


class Retry(TaskPredicate):
    """The task will be retried later.

    Args:
        message: Text shown instead of the standard one.
        exc: The exception that caused the retry.
        when: Seconds from now, or the datetime of the next attempt.
        is_eager: True inside an eager call.
        sig: Signature of the next attempt, if `Task.retry` made it.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | str | None = None,
        when: float | _dt.datetime | None = None,
        is_eager: bool = False,
        sig: Any = None,
        **kwargs: Any,
    ) -> None:
        self.message = message
        self.exc = None if isinstance(exc, str) else exc
        self.excs = exc if exc is None or isinstance(exc, str) else _safe_repr(exc)
        self.when = when
        self.is_eager = is_eager
        self.sig = sig
        super().__init__(self, exc, when, **kwargs)

    def humanize(self) -> str:
        """Say when the next attempt is: ``in 10s`` or ``at <date>``."""
        if isinstance(self.when, int | float):
            return f"in {self.when}s"
        return f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        if self.excs:
            return f"Retry {self.humanize()}: {self.excs}"
        return f"Retry {self.humanize()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.message, self.exc or self.excs, self.when)


class Ignore(TaskPredicate):
    """The task stores no state."""


class Reject(TaskPredicate):
    """The message is rejected.

    Args:
        reason: Why; kept with the message when it is set aside.
        requeue: True returns the message to its queue.
    """

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        self.reason = reason
        self.requeue = requeue
        super().__init__(reason, requeue)

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class TaskError(CeleryError):
    """Base of errors about tasks."""


class QueueNotFound(KeyError, TaskError):
    """A queue name is not in task_queues and may not be created."""


class IncompleteStream(TaskError):
    """A result graph was read before every result was ready."""


class NotRegistered(KeyError, TaskError):
    """A task name is unknown to this app."""

    def __repr__(self) -> str:
        return str(self.args[0]) if self.args else ""


class AlreadyRegistered(TaskError):
    """A task name is taken."""


class TimeoutError(TaskError):
    """A result did not arrive in time."""


class MaxRetriesExceededError(TaskError):
    """The task ran out of retries."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.task_args = kwargs.pop("task_args", [])
        self.task_kwargs = kwargs.pop("task_kwargs", {})
        super().__init__(*args)


class TaskRevokedError(TaskError):
    """The task was revoked, terminated, or has expired."""


class InvalidTaskError(TaskError):
    """A task message has data of the wrong shape."""


class GraphMissing(TaskError):
    """The rest of a workflow is not in the result store."""


class ChordError(TaskError):
    """A header task of a chord failed, or the chord could not be joined."""


class SoftTimeLimitExceeded(TaskError):
    """The soft time limit passed; raised inside the task."""

    def __str__(self) -> str:
        return f"SoftTimeLimitExceeded{self.args!r}"


class TimeLimitExceeded(TaskError):
    """The hard time limit passed and the child was killed."""

    def __str__(self) -> str:
        return f"TimeLimitExceeded{self.args!r}"


class WorkerLostError(TaskError):
    """The child running the task died."""


class Terminated(TaskError):
    """The task was killed by request."""


class TaskCancelledError(TaskError):
    """The task's coroutine ended with `asyncio.CancelledError`, and not because the worker had cancelled it."""


class BackendError(Exception):
    """The result backend failed."""


class BackendGetMetaError(BackendError):
    """A result could not be read.

    Args:
        task_id: The task whose result was asked for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.task_id: str = kwargs.get("task_id", "")
        super().__init__(*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()} task_id:{self.task_id}"


class BackendStoreError(BackendError):
    """A result could not be stored.

    Args:
        state: The state that was to be stored.
        task_id: The task it belongs to.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state: str = kwargs.get("state", "")
        self.task_id: str = kwargs.get("task_id", "")
        super().__init__(*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()} state:{self.state} task_id:{self.task_id}"


class WorkerTerminate(SystemExit):
    """Stop the worker at once."""


class WorkerShutdown(SystemExit):
    """Stop the worker after its current tasks."""


class CeleryCommandException(CeleryError):
    """A command failed.

    Args:
        message: Shown to the user.
        exit_code: Status of the process.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        self.message = message
        self.exit_code = exit_code
        super().__init__(message)


def reraise(tp: type[BaseException], value: BaseException, tb: TracebackType | None = None) -> None:
    """Raise ``value`` with the traceback ``tb``."""
    if value.__traceback__ is not tb:
        raise value.with_traceback(tb)
    raise value


def _safe_repr(exc: BaseException) -> str:
    """A repr that survives a broken ``__repr__``: the text goes into messages and logs."""
    try:
        return repr(exc)
    except Exception as err:
        return f"<unrepresentable {type(exc).__name__} ({err!s})>"
