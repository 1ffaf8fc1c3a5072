"""What a task does, resolved against the settings once, and the check of its arguments.  It calls nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.utils.functions import is_coroutine_function

if TYPE_CHECKING:
    from celeriac.app.task import Task

__all__ = ["ArgumentCheck", "TaskPlan", "body_check", "build_plan", "check_types"]

_CO_VARARGS = 0x04
_CO_VARKEYWORDS = 0x08
_UNLIMITED = 1 << 30


class TaskPlan(NamedTuple):
    """How the worker treats one task.

    Attributes:
        name: Name of the task.
        acks_late: Acknowledge after execution.
        acks_on_failure: A late-acknowledged task that failed is acknowledged.
        acks_on_timeout: The same after a hard time limit.
        reject_on_worker_lost: Requeue when the child dies; None leaves it to the worker's default.
        retry_on_worker_lost: Publish a retry when the child dies.
        max_retries: Retries before it fails; None is without end.
        ignore_result: Store no result.
        store_errors_even_if_ignored: Store failures nevertheless.
        track_started: Store STARTED.
        time_limit: Hard limit in seconds, or None.
        soft_time_limit: Soft limit in seconds, or None.
        rate_limit: Rate string, or None.
        throws: Exceptions that are expected.
        trail: Record results of tasks it starts.
        send_events: Send task events.
        resultrepr_maxsize: Characters of a result in logs and events.
        max_deliveries: Deliveries after which a message is set aside, None is unlimited.
        has_before_start, has_on_success, has_on_failure, has_on_retry, has_after_return: Overridden hooks.
        custom_call: ``__call__`` is overridden.
        is_coroutine: The body is ``async def``.
        serializer: Serializer of its messages.
    """

    name: str
    acks_late: bool
    acks_on_failure: bool
    acks_on_timeout: bool
    reject_on_worker_lost: bool | None
    retry_on_worker_lost: bool
    max_retries: int | None
    ignore_result: bool
    store_errors_even_if_ignored: bool
    track_started: bool
    time_limit: float | None
    soft_time_limit: float | None
    rate_limit: Any
    throws: tuple[type[BaseException], ...]
    trail: bool
    send_events: bool
    resultrepr_maxsize: int
    max_deliveries: int | None
    has_before_start: bool
    has_on_success: bool
    has_on_failure: bool
    has_on_retry: bool
    has_after_return: bool
    custom_call: bool
    is_coroutine: bool
    serializer: str


_HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")


def build_plan(task: Task[..., Any], base: type[Any]) -> TaskPlan:
    """Resolve a task against its app's settings.

    Args:
        task: The task.
        base: The class whose hooks do nothing.
    """
    conf = task.app.conf
    either = _first(task.acks_on_failure_or_timeout, conf.task_acks_on_failure_or_timeout, True)
    hooks = {f"has_{name}": _overrides(task, base, name) for name in _HOOKS}
    reject = _first(task.reject_on_worker_lost, conf.task_reject_on_worker_lost)
    throws = task.throws
    return TaskPlan(
        name=task.name,
        acks_late=bool(_first(task.acks_late, conf.task_acks_late)),
        acks_on_failure=bool(_first(task.acks_on_failure, conf.task_acks_on_failure, either)),
        acks_on_timeout=bool(_first(task.acks_on_timeout, conf.task_acks_on_timeout, either)),
        reject_on_worker_lost=None if reject is None else bool(reject),
        retry_on_worker_lost=bool(_first(task.retry_on_worker_lost, conf.task_retry_on_worker_lost)),
        max_retries=task.max_retries,
        ignore_result=bool(_first(task.ignore_result, conf.task_ignore_result)),
        store_errors_even_if_ignored=bool(
            _first(task.store_errors_even_if_ignored, conf.task_store_errors_even_if_ignored)
        ),
        track_started=bool(_first(task.track_started, conf.task_track_started)),
        time_limit=_first(task.time_limit, conf.task_time_limit),
        soft_time_limit=_first(task.soft_time_limit, conf.task_soft_time_limit),
        rate_limit=_first(task.rate_limit, conf.task_default_rate_limit),
        throws=tuple(throws) if isinstance(throws, list | tuple) else (throws,),
        trail=bool(task.trail),
        send_events=bool(task.send_events),
        resultrepr_maxsize=int(task.resultrepr_maxsize),
        max_deliveries=_first(task.max_deliveries, conf.task_max_deliveries),
        custom_call=_overrides(task, base, "__call__"),
        is_coroutine=is_coroutine_function(task.run),
        serializer=_first(task.serializer, conf.task_serializer),
        **hooks,
    )


def _first(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


def _overrides(task: Any, base: type[Any], name: str) -> bool:
    return name in vars(task) or getattr(type(task), name) is not getattr(base, name)


def check_types(args: Any, kwargs: Any, title: str) -> None:
    """Make sure that arguments of a call are a list or tuple and a mapping.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        title: Name in the message.

    Raises:
        TypeError: They are not.
    """
    if not isinstance(args, list | tuple):
        raise TypeError(f"args of {title}() must be a list or tuple, got {type(args).__name__}: {args!r}")
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs of {title}() must be a mapping, got {type(kwargs).__name__}: {kwargs!r}")


class ArgumentCheck:
    """Whether a function accepts given arguments, without calling it.

    Args:
        function: The body of a task. None, and a callable without Python code, accepts anything.
        skip_first: The first parameter is the task itself.

    Attributes:
        low: Without keyword arguments, at least this many positional ones are right ...
        high: ... and at most this many; the caller compares before it makes a call.
    """

    __slots__ = ("_keyword_only", "_names", "_positional_only", "_required", "_title", "high", "low")

    def __init__(self, function: Callable[..., Any] | None, skip_first: bool) -> None:
        code = getattr(function, "__code__", None)
        self._title = getattr(function, "__name__", repr(function))
        self.low, self.high = 0, _UNLIMITED
        self._names: tuple[str, ...] | None = None
        self._required = 0
        if code is None:
            return
        skip = int(skip_first)
        names = code.co_varnames[skip : code.co_argcount]
        defaults = len(getattr(function, "__defaults__", None) or ())
        only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        with_default = getattr(function, "__kwdefaults__", None) or {}
        self._positional_only = frozenset(names[: max(code.co_posonlyargcount - skip, 0)])
        self._required = max(len(names) - defaults, 0)
        self._keyword_only = {name: name in with_default for name in only}
        self.low = self._required
        self.high = _UNLIMITED if code.co_flags & _CO_VARARGS else len(names)
        self._finish(names, bool(code.co_flags & _CO_VARKEYWORDS))

    def _finish(self, names: tuple[str, ...], takes_any_keyword: bool) -> None:
        """Prepare the slow path; required keyword-only parameters close the fast one."""
        self._names = names
        if takes_any_keyword:
            self._keyword_only["**"] = True
        if not all(self._keyword_only.values()):
            self.low = _UNLIMITED

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Complain as the call itself would.

        Raises:
            TypeError: The function does not accept these arguments.
        """
        check_types(args, kwargs, self._title)
        names = self._names
        if names is None:
            return
        given = len(args)
        if given > self.high:
            takes, verb = self._describe_count(), "was" if given == 1 else "were"
            raise TypeError(f"{self._title}() takes {takes} but {given} {verb} given")
        self._check_keywords(names[:given], kwargs)
        missing = [name for name in names[given : self._required] if not self._is_given(name, kwargs)]
        if missing:
            raise TypeError(self._missing(missing, "positional"))
        missing = [name for name, optional in self._keyword_only.items() if not (optional or name in kwargs)]
        if missing:
            raise TypeError(self._missing(missing, "keyword-only"))

    @property
    def positional_names(self) -> tuple[str, ...]:
        """Names of the positional parameters."""
        return self._names or ()

    def _is_given(self, name: str, kwargs: Mapping[str, Any]) -> bool:
        return name in kwargs and name not in self._positional_only

    def _check_keywords(self, bound: tuple[str, ...], kwargs: Mapping[str, Any]) -> None:
        for key in kwargs:
            if key in self._positional_only:
                if "**" not in self._keyword_only:
                    raise TypeError(
                        f"{self._title}() got some positional-only arguments passed as keyword arguments: {key!r}"
                    )
            elif key in bound:
                raise TypeError(f"{self._title}() got multiple values for argument {key!r}")
            elif not (key in self._keyword_only or "**" in self._keyword_only or key in (self._names or ())):
                raise TypeError(f"{self._title}() got an unexpected keyword argument {key!r}")

    def _describe_count(self) -> str:
        count = self.high
        text = f"from {self._required} to {count}" if self._required != count else f"{count}"
        return f"{text} positional argument{'' if count == 1 else 's'}"

    def _missing(self, names: list[str], kind: str) -> str:
        quoted = [repr(name) for name in names]
        text = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
        plural = "" if len(quoted) == 1 else "s"
        return f"{self._title}() missing {len(quoted)} required {kind} argument{plural}: {text}"


def body_check(task: Any) -> ArgumentCheck:
    """The check for the body of a task, before any wrapping."""
    body = task._body or task.run
    function = getattr(body, "__func__", None)
    return ArgumentCheck(function or body, skip_first=function is not None)
