"""What a key-value store has to offer, and what drivers share.  It knows no results and no store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from celeriac.backend.codec import ResultCodec
from celeriac.drivers.wakeup import WakePipe
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from celeriac.backend.base import BackendOptions, ResultRecord

T = TypeVar("T")
R = TypeVar("R")


class Expectation:
    """What `Driver.write` may expect under a key, beside a version."""


#: Whatever is there.
ANY: Final = Expectation()
#: Nothing: the key is created, or the write does not happen.
ABSENT: Final = Expectation()


class Stored(NamedTuple):
    """What is kept under a key.

    Attributes:
        data: The value, in the form that the driver's codec gives it.
        version: What `Driver.write` may expect, so that nobody's change is overwritten.
    """

    data: Any
    version: Any


class Entry(NamedTuple):
    """Something to keep.

    Attributes:
        key: Its key.
        data: Its value, as above.
        seconds: How long; None is for ever.
    """

    key: str
    data: Any
    seconds: float | None


class News(Protocol):
    """What a thread waits on between two reads."""

    def wait(self, seconds: float) -> bool:
        """Wait until something was stored, or `wake` was called, or the time is over.

        Returns:
            Whether it was `wake`.
        """
        ...

    def wake(self) -> None:
        """End the wait that is going on, or the next one. Safe from any thread."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class Codec(Protocol):
    """The form in which a store keeps results; bytes, unless it has columns of its own."""

    def encode(self, record: ResultRecord) -> Any:
        """The stored form of a record."""
        ...

    def decode(self, data: Any, task_id: str) -> ResultRecord:
        """A record from its stored form.

        Raises:
            BackendGetMetaError: It is not such a form.
        """
        ...

    def encode_group(self, result: Any, group_id: str) -> Any:
        """The stored form of a saved group."""
        ...

    def decode_group(self, data: Any, group_id: str) -> Any | None:
        """The tuple form of a saved group."""
        ...


class BytesCodec(ResultCodec):
    """The form in which Celery keeps results in most key-value stores."""

    def encode_group(self, result: Any, group_id: str) -> bytes:
        """The stored form of a saved group."""
        return self.encode_value({"result": result})

    def decode_group(self, data: bytes, group_id: str) -> Any | None:
        """The tuple form of a saved group."""
        meta = self.decode_value(data)
        return meta.get("result") if isinstance(meta, dict) else None


class Driver(ABC):
    """A key-value store.  Thread-safe, and safe to use after a fork.

    Values have the form that the driver's codec gives them, but under keys of `celeriac.backend.keys.OWN_PREFIX` they
    are bytes.

    Every call raises `OperationalError` when the store cannot be reached within the deadline, `SessionRefused` when it
    refuses, and `BackendError` when it cannot keep the value.

    Attributes:
        name: The URL scheme it is known by.
        url: Its URL, with what is secret masked.
        expires: What is kept goes by itself; False needs `sweep`.
        longest_pause: Seconds between two reads of a client that has been waiting for long.
    """

    name: str
    url: str
    expires: bool = True
    longest_pause: float = 0.5

    def joins_chords(self) -> bool:
        """Whether `write` looks and keeps in one step whatever happens, and what is kept is there for all."""
        return True

    def codec(self, options: BackendOptions) -> Codec:
        """What gives results the form in which they are kept here."""
        return BytesCodec(options)

    @abstractmethod
    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        """What is kept; keys under which there is nothing are missing from the answer."""

    @abstractmethod
    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        """Keep something.

        Args:
            entry: What.
            expecting: `ANY`, `ABSENT`, or the version that has to be there still.

        Returns:
            False if something else is there, and nothing was kept. Looking and keeping are one step.
        """

    def write_many(self, entries: Sequence[Entry]) -> None:
        """Keep several things, whatever is there; the keys differ."""
        for entry in entries:
            self.write(entry)

    def create_many(self, entries: Sequence[Entry]) -> None:
        """Keep those of several things under whose keys there is nothing; the keys differ."""
        for entry in entries:
            self.write(entry, ABSENT)

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Forget what is kept; missing keys are no matter."""

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        """Delete what has been kept for too long.

        Args:
            lifetimes: Seconds, by what keys begin with. No prefix begins with another one.

        Returns:
            How much was deleted.
        """
        return 0

    def news(self) -> News:
        """Something to wait on. Without notification by the store, it ends by `wake` alone."""
        return WakePipe()

    def announce(self) -> None:  # noqa: B027 - most stores have no means
        """Tell those who wait, where the store itself does not, that results were stored."""

    @abstractmethod
    def errors(self) -> AbstractContextManager[None]:
        """Translates what the store's package raises; every use of the driver is within it."""

    @abstractmethod
    def close(self) -> None:
        """Drop every connection. The driver may be used again afterwards."""


class ParallelDriver(Driver):
    """A store that takes one thing with each request; several requests are made at a time.

    Attributes:
        requests_at_once: How many, of one process.
    """

    requests_at_once: int = 10

    def write_many(self, entries: Sequence[Entry]) -> None:
        for _ in in_parallel(self.write, entries, self.requests_at_once):
            continue

    def create_many(self, entries: Sequence[Entry]) -> None:
        for _ in in_parallel(lambda entry: self.write(entry, ABSENT), entries, self.requests_at_once):
            continue


def in_parallel(function: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    """Call a function for each item, several at a time; yields in order.

    The threads end with the call: a process that forks later has none of them.
    """
    if len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        yield from pool.map(function, items)


def pages(items: Sequence[T], length: int) -> Iterable[Sequence[T]]:
    """Consecutive parts of at most this length."""
    return (items[start : start + length] for start in range(0, len(items), length))


def missing_package(store: str, package: str, extra: str) -> ImproperlyConfigured:
    """What to say about a package that is not installed."""
    return ImproperlyConfigured(
        f"results in {store} need the package {package}, in the client and in the worker: "
        f"pip install 'celeriac[{extra}]'"
    )
