"""Workflows of the benchmark for Celery and for Celeriac: the same lines, the library is a parameter."""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

import resource
import time
from typing import Any

TIMEOUT = 180.0
MODULUS = 1_000_003


class Workflows:
    """The tasks and the workflows made of them, each checked by its result.

    Args:
        library: The module ``celery`` or ``celeriac``.
        app: The application that gets the tasks.
    """

    def __init__(self, library: Any, app: Any) -> None:
        self._library = library

        @app.task(name="bench.add", ignore_result=False)
        def add(one: int, other: int) -> int:
            return (one + other) % MODULUS

        @app.task(name="bench.total", ignore_result=False)
        def total(numbers: list[int]) -> int:
            return sum(numbers) % MODULUS

        self._add, self._total = add, total

    def chain(self, size: int) -> int:
        """A chain of `size` tasks."""
        steps = self._library.chain(self._add.s(0, 1), *(self._add.s(1) for _ in range(size - 1)))
        return steps.apply_async().get(timeout=TIMEOUT)

    def group(self, size: int) -> int:
        """A group of `size` tasks whose results are joined."""
        result = self._library.group(self._add.s(number, 1) for number in range(size)).apply_async()
        return sum(result.join(timeout=TIMEOUT)) % MODULUS

    def chord(self, size: int) -> int:
        """A chord with `size` header tasks."""
        header = [self._add.s(number, 1) for number in range(size)]
        return self._library.chord(header)(self._total.s()).get(timeout=TIMEOUT)

    def chords(self, size: int, count: int) -> int:
        """A chain of `count` chords with `size` header tasks each; every header task takes the last body's result."""
        steps: list[Any] = [self._add.s(0, 1)]
        for _ in range(count):
            steps += [self._library.group(self._add.s(number) for number in range(size)), self._total.s()]
        return self._library.chain(*steps).apply_async().get(timeout=TIMEOUT)

    def submit(self, size: int) -> int:
        """Submit a group of `size` tasks given by a generator; MiB by which this process's memory peak grew."""
        self._library.group(self._add.s(number, 1) for number in range(100)).apply_async()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._library.group(self._add.s(number, 1) for number in range(size)).apply_async()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024

    def timed(self, kind: str, times: int, arguments: dict[str, int]) -> list[float]:
        """Run a workflow some times and return the seconds of each; `expected` tells the right result."""
        workflow = getattr(self, kind)
        seconds = []
        for _ in range(times):
            before = time.perf_counter()
            value = workflow(**arguments)
            seconds.append(time.perf_counter() - before)
            if value != (wanted := expected(kind, **arguments)):
                raise AssertionError(f"the {kind} of {arguments} returned {value!r}, not {wanted!r}")
        return seconds


def expected(kind: str, size: int, count: int = 1) -> int:
    """What a workflow returns when every task ran exactly as asked."""
    if kind == "chain":
        return size % MODULUS
    if kind in ("group", "chord"):
        return size * (size + 1) // 2 % MODULUS
    value = 1
    for _ in range(count):
        value = (size * value + size * (size - 1) // 2) % MODULUS
    return value
