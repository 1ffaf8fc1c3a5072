"""Reads one field of a crontab: text such as ``mon-fri`` or ``*/15`` into the numbers it stands for.

It knows nothing of dates.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ParseException", "crontab_parser", "expand"]

WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip

_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?P<filter>/(?P<step>\w+)?)?")


class ParseException(Exception):
    """The text of a field does not follow the grammar."""


class crontab_parser:  # noqa: N801 - Celery's documented name
    """Reads fields whose values lie between two numbers.

    A field is ``part(,part)*``; a part is ``N``, a name, ``A-B``, ``A-B/S``, ``*`` or ``*/S``.  A range may wrap, and
    ``*/S`` counts from the least value.

    >>> sorted(crontab_parser(60).parse("*/20,58"))
    [0, 20, 40, 58]
    >>> sorted(crontab_parser(7).parse("fri-mon"))
    [0, 1, 5, 6]

    Args:
        max_: How many values there are.
        min_: The least value.
    """

    ParseException = ParseException

    def __init__(self, max_: int = 60, min_: int = 0) -> None:
        self.min_ = min_
        self.max_ = max_ + min_ - 1

    def parse(self, spec: str) -> set[int]:
        """The values a field stands for.

        Raises:
            ParseException: A part is empty or negative, or its filter is.
            ValueError: A value is out of range or no name, or a step is 0.
        """
        found: set[int] = set()
        for part in spec.split(","):
            found.update(self._part(part.strip()))
        return found

    def _part(self, part: str) -> list[int]:
        if not part:
            raise ParseException("empty part")
        if part.startswith("-"):
            raise ParseException("negative numbers not supported")
        match = _PART.fullmatch(part)
        if match is None or (match["first"] == "*" and match["last"]):
            raise ValueError(f"Invalid weekday literal {part!r}.")
        values = self._range(match["first"], match["last"])
        if match["filter"] is None:
            return values
        if match["step"] is None:
            raise ParseException("empty filter")
        if match["first"] != "*" and match["last"] is None:
            raise ValueError(f"Invalid weekday literal {part!r}.")
        return values[:: self._step(match["step"], part)]

    def _step(self, text: str, part: str) -> int:
        if not text.isdecimal():
            raise ValueError(f"Invalid step {text!r} in {part!r}: it has to be a number.")
        return int(text)

    def _range(self, first: str, last: str | None) -> list[int]:
        if first == "*":
            return list(range(self.min_, self.max_ + 1))
        start = self._value(first)
        if last is None:
            return [start]
        end = self._value(last)
        if start <= end:
            return list(range(start, end + 1))
        return [*range(start, self.max_ + 1), *range(self.min_, end + 1)]

    def _value(self, text: str) -> int:
        number = int(text) if text.isdecimal() else _named(text)
        if number > self.max_:
            raise ValueError(f"Invalid end range: {number} > {self.max_}.")
        if number < self.min_:
            raise ValueError(f"Invalid beginning range: {number} < {self.min_}.")
        return number


def _named(text: str) -> int:
    """The number of a weekday or a month, named by its first three letters or more of them."""
    wanted = text.lower()
    if len(wanted) >= 3:
        for names, least in ((WEEKDAYS, 0), (MONTHS, 1)):
            for number, name in enumerate(names, least):
                if name.startswith(wanted):
                    return number
    raise ValueError(f"Invalid weekday literal {text!r}.")


def expand(spec: Any, max_: int, min_: int = 0) -> set[int]:
    """The values of what a user gave for a field.

    Args:
        spec: A number, text, or an iterable of numbers; None is ``*``.
        max_: How many values there are.
        min_: The least value.

    Raises:
        TypeError: It is something else.
        ParseException: The text does not follow the grammar.
        ValueError: A value is out of range.
    """
    if spec is None:
        spec = "*"
    if isinstance(spec, str):
        return crontab_parser(max_, min_).parse(spec)
    if isinstance(spec, int):
        return _checked((spec,), max_, min_)
    if hasattr(spec, "__iter__"):
        return _checked(spec, max_, min_)
    raise TypeError(
        f"A field of a crontab has to be an int, a str, or an iterable of ints, got {spec!r} of {type(spec).__name__}"
    )


def _checked(values: Iterable[Any], max_: int, min_: int) -> set[int]:
    found = set()
    for value in values:
        if not isinstance(value, int):
            raise TypeError(f"A value of a crontab's field has to be an int, got {value!r} of {type(value).__name__}")
        if not min_ <= value < max_ + min_:
            raise ValueError(f"Invalid crontab pattern.  Valid range is {min_}-{max_ + min_ - 1}. '{value}' was found.")
        found.add(value)
    return found
