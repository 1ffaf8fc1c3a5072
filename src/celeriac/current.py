"""Which app, and which task request, the running code belongs to.  It creates neither.

The request stack lives in a context variable: threads, greenlets and coroutines each see their own.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celeriac.backend.base import ResultBackend
    from celeriac.config.settings import Settings
    from celeriac.serialization.serializers import SerializerRegistry
    from celeriac.utils.clock import LamportClock


T = TypeVar("T")


class AppLike(Protocol):
    """What canvas, results and execution may ask of the application."""

    main: str | None

    @property
    def conf(self) -> Settings: ...

    @property
    def tasks(self) -> Mapping[str, Any]: ...

    @property
    def backend(self) -> ResultBackend: ...

    @property
    def publisher(self) -> Any: ...

    @property
    def oid(self) -> str: ...

    @property
    def thread_oid(self) -> str: ...

    @property
    def clock(self) -> LamportClock: ...

    @property
    def serializers(self) -> SerializerRegistry: ...

    @property
    def accept_content(self) -> frozenset[str]: ...

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any: ...

    def publish_many(
        self, signatures: Any, *, chunk: int = ..., timeout: float | None = ..., results: bool = ...
    ) -> Any: ...

    async def acall(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...

    @property
    def AsyncResult(self) -> Any: ...


_local = threading.local()
_default: AppLike | None = None
_default_factory: Callable[[], AppLike] | None = None

#: Stack of (task, request) pairs of the running context, innermost last.
_stack: ContextVar[tuple[tuple[Any, Context], ...]] = ContextVar("celeriac_task_stack", default=())


def set_default_factory(factory: Callable[[], AppLike]) -> None:
    """Say how the default app is made when one is asked for and none was created."""
    global _default_factory
    _default_factory = factory


def set_default_app(app: AppLike | None) -> None:
    """Make ``app`` the process default."""
    global _default
    _default = app


def set_current_app(app: AppLike | None) -> None:
    """Make ``app`` current in this thread; the first one becomes the process default too."""
    global _default
    _local.app = app
    if _default is None:
        _default = app


def current_apps() -> tuple[AppLike | None, AppLike | None]:
    """The app that is current in this thread by itself, and the process default; for `restore_apps`."""
    return getattr(_local, "app", None), _default


def restore_apps(of_thread: AppLike | None, default: AppLike | None) -> None:
    """Make both what they were when `current_apps` returned them."""
    global _default
    _local.app, _default = of_thread, default


def get_current_app() -> AppLike:
    """The app of this thread, else the process default, made on demand."""
    app: AppLike | None = getattr(_local, "app", None) or _default
    if app is None:
        if _default_factory is None:
            raise RuntimeError("There is no current app: create one with celeriac.Celery(...) first.")
        app = _default_factory()
        set_default_app(app)
    return app


def push_task(task: Any, request: Context) -> Any:
    """Enter a request; give the token to `pop_task`."""
    return _stack.set((*_stack.get(), (task, request)))


def pop_task(token: Any) -> None:
    """Leave a request."""
    _stack.reset(token)


def get_current_task() -> Any | None:
    """The task that is running in this context, or None."""
    stack = _stack.get()
    return stack[-1][0] if stack else None


def get_current_request(task: Any | None = None) -> Context | None:
    """The innermost request, or the innermost one of ``task``; None outside of any."""
    request: Context
    for owner, request in reversed(_stack.get()):
        if task is None or owner is task:
            return request
    return None


def get_current_worker_task() -> Any | None:
    """The innermost task whose request came as a message (or eagerly), not by a direct call."""
    for task, request in reversed(_stack.get()):
        if not request.called_directly:
            return task
    return None


def get_current_worker_request() -> Context | None:
    """The innermost request that came as a message (or eagerly), not by a direct call."""
    request: Context
    for _, request in reversed(_stack.get()):
        if not request.called_directly:
            return request
    return None


class Context:
    """One request of a task: what ``self.request`` gives.

    Attributes that a message did not carry have the class's defaults; every message header is an attribute.
    """

    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    callbacks: list[Any] | None = None
    called_directly: bool = True
    chain: list[Any] | None = None
    chord: Any | None = None
    correlation_id: str | None = None
    delivery_info: dict[str, Any] | None = None
    errbacks: list[Any] | None = None
    eta: str | None = None
    expires: str | None = None
    group: str | None = None
    group_index: int | None = None
    headers: dict[str, Any] | None = None
    hostname: str | None = None
    id: str | None = None
    ignore_result: bool = False
    is_eager: bool = False
    logfile: str | None = None
    loglevel: int | None = None
    origin: str | None = None
    parent_id: str | None = None
    properties: dict[str, Any] | None = None
    retries: int = 0
    reply_to: str | None = None
    replaced_task_nesting: int = 0
    root_id: str | None = None
    shadow: str | None = None
    taskset: str | None = None
    timelimit: list[float | None] | None = None
    utc: bool | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None

    #: Called with the task, this request and the `Retry` before the next attempt is published.
    _before_retry: Callable[[Any, Context, Any], None] | None = None

    #: Takes what the task asks to be published when its own code has ended; None: it is published at once.
    _postponed: list[Callable[[], None]] | None = None

    _protected = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.update(*args, **kwargs)

    @property
    def children(self) -> list[Any]:
        """Results of tasks started by this request."""
        found = self.__dict__.get("_children")
        if found is None:
            found = self.__dict__["_children"] = []
        children: list[Any] = found
        return children

    @children.setter
    def children(self, value: list[Any]) -> None:
        self.__dict__["_children"] = value

    @property
    def time_limit(self) -> float | None:
        """Hard time limit in seconds."""
        return self.timelimit[0] if self.timelimit else None

    @property
    def soft_time_limit(self) -> float | None:
        """Soft time limit in seconds."""
        return self.timelimit[1] if self.timelimit else None

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several attributes."""
        self.__dict__.update(*args, **kwargs)

    def clear(self) -> None:
        """Forget everything: all attributes have their defaults again."""
        self.__dict__.clear()

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute by name."""
        return getattr(self, key, default)

    def __repr__(self) -> str:
        return f"<Context: {vars(self)!r}>"

    def as_execution_options(self) -> dict[str, Any]:
        """Options that repeat this request's place in its workflow."""
        limit = self.timelimit or [None, None]
        return {
            "task_id": self.id,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group_id": self.group,
            "group_index": self.group_index,
            "shadow": self.shadow,
            "chord": self.chord,
            "chain": self.chain,
            "link": self.callbacks,
            "link_error": self.errbacks,
            "expires": self.expires,
            "soft_time_limit": limit[1],
            "time_limit": limit[0],
            "headers": self.headers,
            "retries": self.retries,
            "reply_to": self.reply_to,
            "replaced_task_nesting": self.replaced_task_nesting,
            "origin": self.origin,
        }
