"""Names of ``celery.utils.text``."""

from __future__ import annotations

import re
import textwrap
from pprint import pformat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "abbr",
    "abbrtask",
    "dedent",
    "dedent_initial",
    "ensure_newlines",
    "ensure_sep",
    "fill_paragraphs",
    "indent",
    "join",
    "pluralize",
    "pretty",
    "remove_repeating_from_task",
    "simple_format",
    "str_to_list",
    "truncate",
]


def str_to_list(s: Any) -> Any:
    """A list of the words between commas; what is no text is returned as it is."""
    return s.split(",") if isinstance(s, str) else s


def dedent_initial(s: str, n: int = 4) -> str:
    """Without the indentation of the first line, where that is n spaces."""
    return s[n:] if s[:n] == " " * n else s


def dedent(s: str, sep: str = "\n") -> str:
    """Each line without four spaces of indentation."""
    return sep.join(dedent_initial(line) for line in s.splitlines())


def fill_paragraphs(s: str, width: int, sep: str = "\n") -> str:
    """Each paragraph broken into lines of a width."""
    return sep.join(textwrap.fill(part, width) for part in s.split(sep))


def join(words: Iterable[str], sep: str = "\n") -> str:
    """The words that are not empty, joined."""
    return sep.join(word for word in words if word)


def ensure_sep(sep: str, s: str, n: int = 2) -> str:
    """Text that ends with at least n separators."""
    return s + sep * (n - s.count(sep))


def ensure_newlines(s: str, n: int = 2) -> str:
    """Text that has at least n newlines."""
    return ensure_sep("\n", s, n)


def abbr(s: str | None, max: int, ellipsis: str = "...") -> str:
    """Text of at most ``max`` characters; what was cut off is marked."""
    if not s:
        return "???"
    if len(s) <= max:
        return s
    return s[: max - len(ellipsis)] + ellipsis if ellipsis else s[:max]


def abbrtask(s: str | None, max: int) -> str:
    """The name of a task in at most ``max`` characters: its function matters more than its module."""
    if not s:
        return "???"
    if len(s) <= max:
        return s
    module, _, name = s.rpartition(".")
    return f"{abbr(module, max - len(name) - len('[.]'), '')}[.]{name}"


def indent(t: str, indent: int = 0, sep: str = "\n") -> str:
    """Each line with spaces before it."""
    return sep.join(" " * indent + line for line in t.split(sep))


def truncate(s: str, maxlen: int = 128, suffix: str = "...") -> str:
    """Text cut off between words."""
    if maxlen and len(s) >= maxlen:
        return s[:maxlen].rsplit(" ", 1)[0] + suffix
    return s


def pluralize(n: float, text: str, suffix: str = "s") -> str:
    """A word, with its suffix where there are more than one."""
    return text + suffix if n != 1 else text


def pretty(value: Any, width: int = 80, nl_width: int = 80, sep: str = "\n", **kw: Any) -> str:
    """A value as text for people: a mapping over several lines."""
    if isinstance(value, dict):
        return f"{{{sep} {pformat(value, 4, nl_width)[1:]}"
    if isinstance(value, tuple):
        return f"{sep}{' ' * 4}{pformat(value, width=nl_width, **kw)}"
    return pformat(value, width=width, **kw)


def simple_format(s: str, keys: Mapping[str, Any], pattern: re.Pattern[str] | None = None, expand: str = r"\1") -> str:
    """Replace ``%x`` by the value of the key x; ``%%`` is a percent sign.

    Args:
        s: The text.
        keys: Values, or functions that return some.
        pattern: What is replaced; its first group is the key.
        expand: The key, as a template of the match.

    Raises:
        ValueError: There is no such key.
    """
    known = {"%": "%", **keys}

    def replacement(match: re.Match[str]) -> str:
        key = match.expand(expand)
        if key not in known:
            raise ValueError(f"unknown format %{key} in {s!r}: there are {', '.join(sorted(known))}")
        value: str | Callable[[], str] = known[key]
        return value() if callable(value) else value

    return (pattern or re.compile(r"%(\w|%)")).sub(replacement, s) if s else s


def remove_repeating_from_task(task_name: str, s: str) -> str:
    """A text about a task without the module of the task in it."""
    module = task_name.rpartition(".")[0]
    return s.replace(f"{module}.", "") if module else s
