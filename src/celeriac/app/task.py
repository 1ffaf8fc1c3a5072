"""`Task`: declaring and calling.  Running one is `celeriac.execution`, encoding it `celeriac.protocol`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar, cast

from celeriac import states
from celeriac.app.client import send
from celeriac.app.options import EXECUTION_OPTIONS, PLACE_OPTIONS, TaskOptions, placed, resolve_options, reused
from celeriac.app.plan import ArgumentCheck, TaskPlan, body_check, build_plan
from celeriac.backend.from_request import record_of
from celeriac.current import Context, get_current_app, get_current_request, pop_task, push_task
from celeriac.exceptions import Ignore, MaxRetriesExceededError, OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from celeriac.app.base import Celery
    from celeriac.app.validation import Validation
    from celeriac.backend.base import ResultBackend
    from celeriac.canvas.maps import chunks, xmap, xstarmap
    from celeriac.canvas.signature import Signature
    from celeriac.result import AsyncResult, EagerResult

__all__ = ["Task"]

P = ParamSpec("P")
R = TypeVar("R")


class _FromConf:
    """A task attribute that has the value of a setting until it is set on a class or an instance."""

    def __init__(self, setting: str) -> None:
        self.setting = setting

    def __get__(self, task: Any, owner: Any = None) -> Any:
        return None if task is None or task._app is None else task._app.conf[self.setting]


def _from_conf(setting: str) -> Any:
    return _FromConf(setting)


class _Plan:
    """Builds a task's plan at its first use; the instance attribute then hides this descriptor."""

    def __get__(self, task: Any, owner: Any = None) -> Any:
        if task is None:
            return self
        plan = build_plan(task, Task)
        task.__dict__["plan"] = plan
        return plan


class Task(Generic[P, R]):
    """A unit of work that can be called here and run by a worker.

    Made of a function by `Celery.task`, or by subclassing and `Celery.register_task`.  A task is instantiated once
    per process.  What an attribute leaves at None is decided by the setting of the same name.

    Attributes:
        name: Unique name; None is made of module and function.
        typing: Check arguments of calls against the signature of `run`.
        max_retries: Retries before it fails; None is without end.
        default_retry_delay: Seconds before a retry.
        rate_limit: ``"10/s"``, ``"10/m"``, ``"10/h"``, for each worker.
        ignore_result: Keep no result.
        trail: Record results of tasks it starts.
        serializer: Serializer of its messages.
        time_limit: Seconds until it is killed.
        soft_time_limit: Seconds until `SoftTimeLimitExceeded` is raised in it.
        track_started: Store STARTED.
        acks_late: Acknowledge after it has run.
        throws: Exceptions that are no errors: logged without traceback.
        max_deliveries: Deliveries before its message is set aside.
    """

    name: str = cast("str", None)
    typing: bool | None = None
    max_retries: int | None = 3
    default_retry_delay: float = 180
    rate_limit: Any = _from_conf("task_default_rate_limit")
    ignore_result: Any = _from_conf("task_ignore_result")
    trail: bool = True
    send_events: bool = True
    store_errors_even_if_ignored: Any = _from_conf("task_store_errors_even_if_ignored")
    store_eager_result: Any = _from_conf("task_store_eager_result")
    serializer: Any = _from_conf("task_serializer")
    time_limit: float | None = None
    soft_time_limit: float | None = None
    track_started: Any = _from_conf("task_track_started")
    acks_late: Any = _from_conf("task_acks_late")
    acks_on_failure_or_timeout: bool | None = None
    acks_on_failure: bool | None = None
    acks_on_timeout: bool | None = None
    reject_on_worker_lost: Any = _from_conf("task_reject_on_worker_lost")
    retry_on_worker_lost: Any = _from_conf("task_retry_on_worker_lost")
    max_deliveries: int | None = None
    throws: Any = ()
    expires: Any = None
    priority: int | None = None
    resultrepr_maxsize: int = 1024
    abstract: bool = True
    Strategy: str = "celery.worker.strategy:default"
    Request: Any = "celery.worker.request:Request"

    autoretry_for: Any = ()
    dont_autoretry_for: Any = ()
    retry_kwargs: Mapping[str, Any] = {}
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True

    #: More pairs of attribute and setting, resolved when the task is bound.
    from_config: ClassVar[tuple[tuple[str, str], ...]] = ()

    MaxRetriesExceededError = MaxRetriesExceededError
    OperationalError = OperationalError

    _app: Any = None
    _backend: ResultBackend | None = None
    _defaults: TaskOptions | None = None
    _call_check: ArgumentCheck | None = None
    _body: Any = None
    _validation: Validation | None = None
    #: The function takes the task as its first argument.
    binds_itself: bool = False
    plan: TaskPlan = cast("TaskPlan", _Plan())

    # ------------------------------------------------------------------ binding

    @property
    def app(self) -> Celery:
        """The app it belongs to."""
        if self._app is None:
            from_current = _current_app()
            self.bind(from_current)
        return cast("Celery", self._app)

    @app.setter
    def app(self, app: Celery) -> None:
        self._app = app
        self.forget_plan()

    def bind(self, app: Celery) -> Celery:
        """Attach it to an app; runs once, when the app registers it."""
        self._app = app
        if self.typing is None:
            self.typing = app.strict_typing
        for attribute, setting in self.from_config:
            if getattr(self, attribute, None) is None:
                setattr(self, attribute, app.conf[setting])
        self.__dict__.setdefault("__name__", type(self).__name__)
        self._wrap_autoretry()
        self.forget_plan()
        self.on_bound(app)
        return app

    def _wrap_autoretry(self) -> None:
        if self.autoretry_for and "_body" not in self.__dict__:
            body = self.run
            self.__dict__["_body"] = self._body or body
            from celeriac.execution.autoretry import with_autoretry

            self.__dict__["run"] = with_autoretry(self, body)

    def on_bound(self, app: Celery) -> None:
        """Called when it was bound; for subclasses."""

    def annotate(self) -> None:
        """Apply the setting ``task_annotations``."""
        from_app: Any = self.app
        for annotation in from_app.annotations:
            for found in (annotation.annotate_any(), annotation.annotate(self)):
                for key, value in (found or {}).items():
                    if key.startswith("@"):
                        self.add_around(key[1:], value)
                    else:
                        setattr(self, key, value)

    def add_around(self, attr: str, around: Callable[[Any], Any]) -> None:
        """Replace an attribute, usually a method, by ``around(attribute)``."""
        setattr(self, attr, around(getattr(self, attr)))

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in _PLANNED and self._app is not None:
            self.forget_plan()
            if name == "autoretry_for":
                self._wrap_autoretry()

    def forget_plan(self) -> None:
        """Resolve attributes and settings again at the next use."""
        self.__dict__.pop("plan", None)
        self._defaults = None
        self._call_check = None

    # ------------------------------------------------------------------ calling

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The body of the task; subclasses define it."""
        raise NotImplementedError(f"Task {self.name!r} has no body: define run()")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the body here and now, in this process."""
        token = push_task(self, Context(args=args, kwargs=kwargs))
        try:
            return self.run(*args, **kwargs)
        finally:
            pop_task(token)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send it to a worker; the short form of `apply_async`."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Send it to a worker.

        Args:
            args: Positional arguments: a list or tuple.
            kwargs: Keyword arguments: a mapping.
            task_id: Its id; None makes one.
            producer: One of ``app.producer_pool`` to publish through; None is the session of this thread.
            link: Signature, or several, called with the result when it succeeds.
            link_error: Signature, or several, called when it fails.
            shadow: Name shown in logs instead of its own.
            **options: ``countdown`` (seconds), ``eta`` (datetime), ``expires`` (seconds or datetime), ``queue``,
                ``exchange``, ``routing_key``, ``priority``, ``serializer``, ``compression``, ``headers``,
                ``ignore_result``, ``time_limit``, ``soft_time_limit`` (seconds), ``timeout`` (seconds for publishing),
                ``retry``, ``retry_policy``, ``add_to_parent``, ``reply_to``, and properties of the message.

        Raises:
            TypeError: The arguments do not fit `run`.
            ValueError: An option is out of range.
            EncodeError: The arguments cannot be serialized.
            OperationalError: The broker did not accept the message in time.
        """
        args = () if args is None else args
        kwargs = kwargs or {}
        check = self._call_check or self._make_check()
        if kwargs or type(args) is not tuple or not check.low <= len(args) <= check.high:
            check.check(args, kwargs)
        if link is not None or link_error is not None or shadow is not None or producer is not None:
            options.update(link=link, link_error=link_error, shadow=shadow, producer=producer)
        if self._validation is not None:
            args, kwargs = self.dump_models(args, kwargs, options)
        app = self._app
        if app.always_eager:
            options = {**self.execution_options(), **options}
            from celeriac.app.eager import apply_as_if_sent

            return cast("AsyncResult[R]", apply_as_if_sent(self, args, kwargs, task_id, options))
        resolved = self._defaults
        if options or resolved is None:
            resolved = self._resolve(args, kwargs, options)
        result: AsyncResult[R] = send(app, resolved, args, kwargs, task_id, self)
        return result

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """As `delay`, for coroutines: the event loop goes on while it is published."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> AsyncResult[R]:
        """As `apply_async`, for coroutines: the event loop goes on while it is published.

        One thread of the process publishes, in the order of the calls. When this call is cancelled, it may or may
        not have been published.

        Args:
            args: Positional arguments: a list or tuple.
            kwargs: Keyword arguments: a mapping.
            **options: As for `apply_async`.

        Raises:
            PublishTimeout: Time is up; the message may or may not have been accepted.
            OperationalError: The broker did not accept the message in time.
        """
        result: AsyncResult[R] = await self.app.acall(self.apply_async, args, kwargs, **options)
        return result

    def resolved_call(self, args: Any, kwargs: Any, options: dict[str, Any]) -> tuple[TaskOptions, Any, Any]:
        """Check the arguments of a call and resolve its options; returns them with the arguments as they are sent.

        Raises:
            TypeError: The arguments do not fit `run`.
        """
        check = self._call_check or self._make_check()
        if kwargs or not check.low <= len(args) <= check.high:
            check.check(args, kwargs)
        resolved = self._defaults
        if options or resolved is None:
            resolved = self._resolve(args, kwargs, dict(options))
        if self._validation is not None:
            args, kwargs = self.dump_models(args, kwargs, options)
        return resolved, args, kwargs

    def dump_models(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
        """Arguments of a call with pydantic's models as plain data; pickle needs no such thing."""
        serializer = options.get("serializer") or self.serializer
        if self._validation is None or serializer in ("pickle", "application/x-python-serialize"):
            return args, kwargs
        return self._validation.dump(self, args, kwargs)

    def _make_check(self) -> ArgumentCheck:
        """The check of arguments; making it also makes sure that the task has its app."""
        if self._app is None:
            self.bind(_current_app())
        header = getattr(type(self), "__header__", None)
        if not self.typing:
            check = ArgumentCheck(None, skip_first=False)
        elif header is not None:
            check = ArgumentCheck(header, skip_first=False)
        else:
            check = body_check(self)
        self._call_check = check
        return check

    def _resolve(self, args: Any, kwargs: Any, options: dict[str, Any]) -> TaskOptions:
        has_hook = type(self).shadow_name is not Task.shadow_name
        if has_hook and options.get("shadow") is None:
            options["shadow"] = self.shadow_name(args, kwargs, options)
        given = {key: value for key, value in options.items() if value is not None}
        if given and given.keys() <= PLACE_OPTIONS and not has_hook:
            base = self._defaults or self._resolve(args, kwargs, {})
            if base.reusable and base.destination is not None:
                return placed(base, given)
        resolved = resolve_options(self._app, self.name, self, {**self.execution_options(), **given})
        if not given and not has_hook and resolved.reusable:
            self._defaults = resolved = reused(resolved)
        return resolved

    def execution_options(self) -> dict[str, Any]:
        """The options that its attributes give to every call; what only a setting says is not among them."""
        own, cls = self.__dict__, type(self)
        found = ((key, own[key] if key in own else getattr(cls, key, None)) for key in EXECUTION_OPTIONS)
        return {key: value for key, value in found if value is not None}

    def shadow_name(self, args: Any, kwargs: Any, options: dict[str, Any]) -> str | None:
        """Name to show for this call in logs instead of the task's own; for subclasses."""
        return None

    def apply(
        self,
        args: Any = None,
        kwargs: Any = None,
        link: Any = None,
        link_error: Any = None,
        task_id: str | None = None,
        retries: int = 0,
        throw: bool | None = None,
        logfile: str | None = None,
        loglevel: int | None = None,
        headers: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run it here and now, through the same steps as in a worker; retries follow at once.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            link: Called with the result when it succeeds.
            link_error: Called when it fails.
            task_id: Its id; None makes one.
            retries: Retries so far.
            throw: Raise its exception; None is the setting ``task_eager_propagates``.
            logfile: Shown in its request.
            loglevel: Shown in its request.
            headers: Custom headers of its request.
            **options: As for `apply_async`.

        Raises:
            Exception: The task's own, if ``throw``.
        """
        options.update(link=link, link_error=link_error, headers=headers, logfile=logfile, loglevel=loglevel)
        from celeriac.app.eager import apply_here

        return cast(
            "EagerResult[R]", apply_here(self, args, kwargs, task_id, retries=retries, throw=throw, options=options)
        )

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """Run the task again later; called by the task itself.

        Args:
            args: New positional arguments; None keeps them.
            kwargs: New keyword arguments; None keeps them.
            exc: The reason; raised instead of `MaxRetriesExceededError` when there are no retries left.
            throw: Raise `Retry`; False returns it, and the task goes on.
            eta: When to run.
            countdown: Seconds to wait; None is ``default_retry_delay``.
            max_retries: Replaces the task's ``max_retries`` for this run.
            **options: As for `apply_async`.

        Raises:
            Retry: Always, unless ``throw`` is False; ``raise self.retry()`` makes that plain to readers.
            MaxRetriesExceededError: No retries are left and there is no ``exc``.
            Reject: The retry could not be published.
        """
        from celeriac.app.retry import retry_task

        return retry_task(
            self, args, kwargs, exc=exc, throw=throw, eta=eta, countdown=countdown, max_retries=max_retries,
            options=options,
        )  # fmt: skip

    # ------------------------------------------------------------------ signatures

    def signature(self, args: Any = None, kwargs: Any = None, *starargs: Any, **starkwargs: Any) -> Signature:
        """A signature of this task; the arguments of `Signature` after ``task``."""
        if not starargs and not starkwargs:
            return _signature_of(self, tuple(args or ()), kwargs or {})
        from celeriac.canvas.signature import Signature

        starkwargs.setdefault("app", self.app)
        return Signature(self, args, kwargs, *starargs, **starkwargs)

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature with these arguments."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature with these arguments that ignores results passed to it."""
        return self.signature(args, kwargs, immutable=True)

    def map(self, it: Any) -> xmap:
        """A signature that calls it with each item, in one message."""
        from celeriac.canvas.maps import xmap

        return xmap(self.s(), it, app=self.app)

    def starmap(self, it: Any) -> xstarmap:
        """A signature that calls it with the arguments in each item, in one message."""
        from celeriac.canvas.maps import xstarmap

        return xstarmap(self.s(), it, app=self.app)

    def chunks(self, it: Any, n: int) -> chunks:
        """A signature that calls it with the arguments in each item, ``n`` of them in one message."""
        from celeriac.canvas.maps import chunks

        return chunks(self.s(), it, n, app=self.app)

    def signature_from_request(
        self, request: Context | None = None, args: Any = None, kwargs: Any = None, queue: Any = None, **extra: Any
    ) -> Signature:
        """A signature that repeats a request.

        Args:
            request: The request; None is the present one.
            args: Replace its positional arguments.
            kwargs: Replace its keyword arguments.
            queue: Replaces its queue.
            **extra: More options.
        """
        from celeriac.app.retry import signature_from_request

        return signature_from_request(self, request or self.request, args, kwargs, queue, extra)

    # ------------------------------------------------------------------ inside a run

    @property
    def request(self) -> Context:
        """The request being run; outside of any, an empty one."""
        return get_current_request(self) or Context()

    @property
    def request_stack(self) -> _RequestStack:
        """The requests being run, innermost last."""
        return _RequestStack(self)

    def push_request(self, *args: Any, **kwargs: Any) -> None:
        """Enter a request made of these attributes; for tests of task bodies."""
        _pushed(self).append(push_task(self, Context(*args, **kwargs)))

    def pop_request(self) -> None:
        """Leave the request that `push_request` entered."""
        pop_task(_pushed(self).pop())

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> None:
        """Store a state of the running task.

        Args:
            task_id: Another task; None is the running one.
            state: Any upper-case name.
            meta: Stored as its result.
            **kwargs: Not supported; must be empty.

        Raises:
            ValueError: No task is running and no id was given.
        """
        if kwargs:
            raise TypeError(f"update_state() got unexpected keyword arguments {sorted(kwargs)}")
        request = self.request
        task_id = task_id or request.id
        if not task_id:
            raise ValueError(f"Task {self.name}: update_state() outside of a run needs a task_id")
        extended = task_id == request.id and self.app.conf.result_extended
        self.backend.store_many([record_of(request, task_id, state or states.PENDING, meta, None, extended=extended)])

    def send_event(
        self, type: str, retry: bool = True, retry_policy: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        """Send an event about the running task, such as ``task-progress``; whoever listens to events gets it.

        Args:
            type: Its type; the part after ``task-`` becomes the state of the task for those who watch.
            retry: Try again when the broker cannot be reached.
            retry_policy: Replaces ``task_publish_retry_policy``.
            **fields: Fields of the event, besides the id of the task.

        Raises:
            OperationalError: The broker did not take it in time.
        """
        request = self.request
        with self.app.events.default_dispatcher(request.hostname) as dispatcher:
            dispatcher.send(type, uuid=request.id, retry=retry, retry_policy=retry_policy, **fields)

    def replace(self, sig: Any) -> Any:
        """Let another task, or a workflow, finish the work of the running task, under its id.

        What was to happen with the result of this task happens with that of the other: its links, the rest of its
        chain, its place in a group. Nothing after this call runs.

        Args:
            sig: A signature.

        Raises:
            Ignore: Always in a worker, where the other task is sent; in eager mode its value is returned.
            ImproperlyConfigured: An empty chain cannot take its place, nor can a signature with a chord.
            NotImplementedError: It is a group, or a chain that ends in one, and the result backend cannot join chords.
        """
        from celeriac.app.replace import replace_task

        return replace_task(self, sig)

    def on_replace(self, sig: Any) -> Any:
        """Send what replaces the running task, or run it in eager mode; subclasses may do more.

        Args:
            sig: The signature, which has the id of the running task.
        """
        if self.request.is_eager:
            from celeriac.result import allow_join_result

            # What is waited for has ended.
            with allow_join_result():
                return sig.apply().get()
        sig.apply_async(add_to_parent=False)
        raise Ignore("Replaced by new task")

    def add_to_chord(self, sig: Any, lazy: bool = False) -> Any:
        """Add a task to the chord in whose header the running task is; its result comes last in the body's list.

        Args:
            sig: A signature.
            lazy: Return what is to be sent instead of sending it.

        Raises:
            ValueError: The running task is in the header of no chord.
            NotImplementedError: The result backend cannot join chords, or not ones that grow.
        """
        from celeriac.app.replace import add_to_chord

        return add_to_chord(self, sig, lazy)

    def add_trail(self, result: Any) -> Any:
        """Record a result as that of a task this one started; returns it."""
        if self.trail:
            self.request.children.append(result)
        return result

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AsyncResult[R]:
        """The result of a call of this task by its id."""
        result = self.app.AsyncResult(task_id, backend=self._backend, task_name=self.name, **kwargs)
        return cast("AsyncResult[R]", result)

    @property
    def backend(self) -> ResultBackend:
        """Where its results are kept."""
        return self._backend if self._backend is not None else self.app.backend

    @backend.setter
    def backend(self, backend: ResultBackend) -> None:
        self._backend = backend

    @property
    def overrides_apply_async(self) -> bool:
        """Its class has an `apply_async` of its own, which bulk publishing would pass by."""
        return type(self).apply_async is not Task.apply_async or "apply_async" in self.__dict__

    @property
    def accepts_failure_arguments(self) -> bool:
        """As an errback it is called with request, exception and traceback, not with the id of the failed task."""
        return body_check(self).high > 1

    # ------------------------------------------------------------------ handlers

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called in the worker before the body; for subclasses."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Called in the worker after success; for subclasses."""

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called in the worker when it is to be retried; for subclasses."""

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called in the worker after failure; for subclasses."""

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called in the worker after success and failure; for subclasses."""

    # ------------------------------------------------------------------ looks

    def __repr__(self) -> str:
        app = self._app
        where = f"{app.main or '__main__'} at {id(app):#x}" if app is not None else "no app"
        return f"<@task: {self.name} of {where}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _task_by_name, (self.name,)


class _RequestStack:
    """The requests of one task."""

    def __init__(self, task: Any) -> None:
        self._task = task

    @property
    def top(self) -> Context | None:
        """The innermost one, or None."""
        return get_current_request(self._task)

    def push(self, request: Context) -> None:
        """Enter a request."""
        _pushed(self._task).append(push_task(self._task, request))

    def pop(self) -> None:
        """Leave it."""
        self._task.pop_request()


def _pushed(task: Any) -> list[Any]:
    """Tokens of requests entered by hand; they are for tests, and of one thread."""
    return cast("list[Any]", task.__dict__.setdefault("_tokens", []))


def _first_signature(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Signature:
    """Import the canvas, which those who only call tasks do without, and leave its function in place of this one."""
    global _signature_of
    from celeriac.canvas.signature import signature_of

    _signature_of = signature_of
    return signature_of(task, args, kwargs)


_signature_of: Callable[[Any, tuple[Any, ...], dict[str, Any]], Signature] = _first_signature


def _current_app() -> Any:
    return get_current_app()


def _task_by_name(name: str) -> Any:
    return get_current_app().tasks[name]


#: Attributes whose change makes plan and options stale.
_PLANNED = frozenset(
    {
        "name", "typing", "rate_limit", "ignore_result", "trail", "send_events", "store_errors_even_if_ignored",
        "serializer", "time_limit", "soft_time_limit", "track_started", "acks_late", "acks_on_failure_or_timeout",
        "acks_on_failure", "acks_on_timeout", "reject_on_worker_lost", "retry_on_worker_lost", "max_deliveries",
        "throws", "expires", "priority", "resultrepr_maxsize", "run", "before_start", "on_success", "on_retry",
        "on_failure", "after_return", "__call__", "autoretry_for", *EXECUTION_OPTIONS,
    }
)  # fmt: skip
