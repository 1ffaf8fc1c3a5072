"""Names of ``celery.utils.functional``."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict, UserList
from collections.abc import Iterable, Mapping
from functools import wraps
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.compat.local import maybe_evaluate as _evaluate_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "LRUCache",
    "chunks",
    "dictfilter",
    "first",
    "firstmethod",
    "fun_accepts_kwargs",
    "fun_takes_argument",
    "head_from_fun",
    "is_list",
    "lazy",
    "mattrgetter",
    "maybe",
    "maybe_evaluate",
    "maybe_list",
    "memoize",
    "mlazy",
    "noop",
    "padlist",
    "pass1",
    "regen",
    "seq_concat_item",
    "seq_concat_seq",
    "uniq",
]

T = TypeVar("T")


class LRUCache(OrderedDict[Any, Any]):
    """A dict that forgets what was not used for longest.

    Args:
        limit: Most entries; None is any number.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.mutex = threading.RLock()
        super().__init__()

    def __getitem__(self, key: Any) -> Any:
        with self.mutex:
            value = super().__getitem__(key)
            self.move_to_end(key)
            return value

    def __setitem__(self, key: Any, value: Any) -> None:
        with self.mutex:
            super().__setitem__(key, value)
            self.move_to_end(key)
            while self.limit and len(self) > self.limit:
                super().__delitem__(next(iter(self)))

    def incr(self, key: Any, delta: int = 1) -> int:
        """Add to a number; returns the sum."""
        with self.mutex:
            value = int(self.pop(key)) + delta
            self[key] = value
            return value

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_cache, (self.limit, list(self.items()))


def _rebuild_cache(limit: int | None, items: list[tuple[Any, Any]]) -> LRUCache:
    cache = LRUCache(limit)
    for key, value in items:
        cache[key] = value
    return cache


def memoize(maxsize: int | None = None, keyfun: Any = None, Cache: Any = LRUCache) -> Callable[[Any], Any]:  # noqa: N803
    """Decorator: keep what a function returned.

    Args:
        maxsize: Most values kept.
        keyfun: Makes the key from the arguments.
        Cache: Makes the cache from ``maxsize``.
    """

    def decorate(function: Any) -> Any:
        cache = Cache(maxsize)

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            key = keyfun(args, kwargs) if keyfun is not None else (args, tuple(sorted(kwargs.items())))
            try:
                value = cache[key]
            except KeyError:
                value = function(*args, **kwargs)
                wrapper.misses += 1  # type: ignore[attr-defined]
                cache[key] = value
            else:
                wrapper.hits += 1  # type: ignore[attr-defined]
            return value

        def clear() -> None:
            cache.clear()
            wrapper.hits = wrapper.misses = 0  # type: ignore[attr-defined]

        wrapper.hits = wrapper.misses = 0  # type: ignore[attr-defined]
        wrapper.clear = clear  # type: ignore[attr-defined]
        wrapper.original_func = function  # type: ignore[attr-defined]
        return wrapper

    return decorate


class lazy:  # noqa: N801 - Celery's name
    """A call that is made when it is asked for.

    Args:
        fun: The function.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.
    """

    def __init__(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._fun, self._args, self._kwargs = fun, args, kwargs

    def __call__(self) -> Any:
        return self.evaluate()

    def evaluate(self) -> Any:
        """Make the call."""
        return self._fun(*self._args, **self._kwargs)

    def __str__(self) -> str:
        return str(self())

    def __repr__(self) -> str:
        return repr(self())

    def __eq__(self, other: object) -> bool:
        return bool(self() == other)

    def __ne__(self, other: object) -> bool:
        return bool(self() != other)

    __hash__ = None  # type: ignore[assignment]


class mlazy(lazy):  # noqa: N801 - Celery's name
    """A `lazy` that calls once and keeps the value."""

    evaluated = False
    _value: Any = None

    def evaluate(self) -> Any:
        """The value."""
        if not self.evaluated:
            self._value = super().evaluate()
            self.evaluated = True
        return self._value


def maybe_evaluate(value: Any) -> Any:
    """The value of a `lazy`, or of a promise; anything else as it is."""
    return value.evaluate() if isinstance(value, lazy) else _evaluate_proxy(value)


def noop(*_args: Any, **_kwargs: Any) -> None:
    """Do nothing."""


def pass1(arg: T, *_args: Any, **_kwargs: Any) -> T:
    """The first argument."""
    return arg


def maybe(typ: Callable[[Any], T], val: Any) -> T | None:
    """Call a type, but for None."""
    return typ(val) if val is not None else None


def is_list(obj: Any, scalars: Any = (Mapping, str), iters: Any = (Iterable,)) -> bool:
    """Whether something is iterated over as a list is."""
    return isinstance(obj, iters) and not isinstance(obj, scalars or ())


def maybe_list(obj: Any, scalars: Any = (Mapping, str)) -> Any:
    """A list of one, but for None and what is a list."""
    return obj if obj is None or is_list(obj, scalars) else [obj]


def dictfilter(d: Mapping[Any, Any] | None = None, **kw: Any) -> dict[Any, Any]:
    """The items whose value is not None."""
    return {key: value for key, value in {**(d or {}), **kw}.items() if value is not None}


def first(predicate: Callable[[Any], Any] | None, it: Iterable[Any]) -> Any:
    """The first element that satisfies a predicate, or is not None where there is none; None if there is not."""
    return next((v for v in it if (predicate(v) if predicate is not None else v is not None)), None)


def firstmethod(method: str, on_call: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A function that calls a method of each object and returns the first answer that is not None.

    Args:
        method: Its name.
        on_call: Called with the method and the arguments instead.
    """

    def call(it: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        for obj in it:
            bound = getattr(maybe_evaluate(obj), method)
            answer = on_call(bound, *args, **kwargs) if on_call is not None else bound(*args, **kwargs)
            if answer is not None:
                return answer
        return None

    return call


def chunks(it: Iterable[T], n: int) -> Iterator[list[T]]:
    """Lists of n elements each; the last may be shorter."""
    iterator = iter(it)
    while piece := list(islice(iterator, n)):
        yield piece


def padlist(container: list[Any], size: int, default: Any = None) -> list[Any]:
    """The first elements, filled up to a size."""
    return [*container[:size], *[default] * (size - len(container))]


def mattrgetter(*attrs: str) -> Callable[[Any], dict[str, Any]]:
    """A function that returns attributes by name, None for missing ones."""
    return lambda obj: {attr: getattr(obj, attr, None) for attr in attrs}


def uniq(it: Iterable[T]) -> Iterator[T]:
    """Each element once, in order."""
    return iter(dict.fromkeys(it))


class regen(UserList[Any]):  # noqa: N801 - Celery's name
    """A list of what an iterator gives, read when it is needed; lists and tuples are returned as they are.

    Args:
        it: The iterator.
    """

    def __new__(cls, it: Any = ()) -> Any:
        return it if isinstance(it, list | tuple) else super().__new__(cls)

    def __init__(self, it: Iterable[Any] = ()) -> None:
        self._rest = iter(it)
        self._read: list[Any] = []

    @property
    def data(self) -> list[Any]:  # type: ignore[override]
        """All of it."""
        self._read.extend(self._rest)
        return self._read

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while True:
            if index == len(self._read):
                try:
                    self._read.append(next(self._rest))
                except StopIteration:
                    return
            yield self._read[index]
            index += 1

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (self.data,)


def fun_takes_argument(name: str, fun: Callable[..., Any], position: int | None = None) -> bool:
    """Whether a function takes an argument of that name, or at that position."""
    spec = inspect.getfullargspec(fun)
    if spec.varkw or spec.varargs:
        return True
    return name in spec.args if position is None else len(spec.args) >= position


def fun_accepts_kwargs(fun: Callable[..., Any]) -> bool:
    """Whether a function takes any keyword argument."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(fun).parameters.values())


def head_from_fun(fun: Callable[..., Any], bound: bool = False) -> Callable[..., None]:
    """A function with the same parameters that does nothing: calling it checks arguments.

    Args:
        fun: A function, or an object with ``__call__``.
        bound: Leave out the first parameter.
    """
    signature = inspect.signature(fun)
    if bound:
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])

    def head(*args: Any, **kwargs: Any) -> None:
        signature.bind(*args, **kwargs)

    head.__name__ = getattr(fun, "__name__", type(fun).__name__)
    head.__signature__ = signature  # type: ignore[attr-defined]
    return head


def seq_concat_item(seq: Any, item: Any) -> Any:
    """A list or tuple with one more element."""
    return seq + ((item,) if isinstance(seq, tuple) else [item])


def seq_concat_seq(a: Any, b: Any) -> Any:
    """Two of lists and tuples joined; the first one's type counts."""
    return type(a)(chain(a, b))
