"""Checking and converting values of settings by the type in their row.

Does not decide where a value comes from, nor what it means to the part that reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.config.options import Option

__all__ = ["CASTS", "accepted", "check", "from_text"]

_WORDS: Final = {
    "false": False, "no": False, "0": False, "off": False,
    "true": True, "yes": True, "1": True, "on": True,
}  # fmt: skip


def check(option: Option, value: Any, key: str | None = None) -> Any:
    """Return `value` as the setting keeps it.

    Values are kept verbatim, except text for a number or a bool, which becomes one, and a timedelta for a
    number of seconds. Only numbers, bools and choices are checked: other types have too many accepted forms.

    Args:
        option: Row of the setting.
        value: The configured value.
        key: Name under which it was configured, for the message; the row's name by default.

    Raises:
        ImproperlyConfigured: The value can mean nothing for this setting.
    """
    try:
        return _convert(option, value)
    except (ValueError, TypeError):
        raise ImproperlyConfigured(
            f"Setting {key or option.name!r} has the value {value!r}; accepted is {accepted(option)}."
        ) from None


def accepted(option: Option) -> str:
    """Say in words which values `option` takes."""
    if option.choices:
        text = "one of " + ", ".join(map(repr, option.choices))
    elif option.type == "bool":
        text = "True or False" + (", a dict of parameters" if option.mapping_too else "")
    elif option.type in _NUMBERS or option.minimum is not None:
        text = {"int": "a whole number", "float": "a number or a timedelta"}.get(option.type, "a number or text")
        text += "" if option.minimum is None else f", at least {option.minimum:g}"
    else:
        text = f"a value of type {option.type}"
    return text + (" or None" if option.nullable else "")


def _convert(option: Option, value: Any) -> Any:
    if value is None:
        if option.nullable:
            return None
        raise TypeError
    convert = _CONVERTERS.get(option.type)
    if convert is not None:
        value = convert(option, value)
    if option.choices and value not in option.choices:
        raise ValueError
    return value


def _bool(option: Option, value: Any) -> Any:
    if isinstance(value, (bool, int, float)) or (option.mapping_too and isinstance(value, Mapping)):
        return value
    if isinstance(value, str):
        return parse_bool(value)
    raise TypeError


def parse_bool(text: str) -> bool:
    """Read false/no/0/off and true/yes/1/on, in any case; anything else is a TypeError."""
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise TypeError(f"cannot read {text!r} as a bool; write one of {', '.join(_WORDS)}") from None


def _number(option: Option, value: Any) -> Any:
    if isinstance(value, str):
        value = int(value) if option.type == "int" else float(value)
    elif isinstance(value, timedelta) and option.type == "float":
        if not isinstance(option.default, timedelta):
            value = value.total_seconds()
    elif isinstance(value, (bytes, timedelta)):
        raise TypeError
    _check_range(option, value)
    return value


def _check_range(option: Option, value: Any) -> None:
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if math.isnan(number) or (option.minimum is not None and number < option.minimum):
        raise ValueError


def _any(option: Option, value: Any) -> Any:
    """A number where the text is one, checked if the row has a bound; anything else as it is."""
    if option.minimum is None:
        return value
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return value
    _check_range(option, value)
    return value


_NUMBERS: Final = frozenset({"int", "float"})
_CONVERTERS: Final[dict[str, Callable[[Option, Any], Any]]] = {
    "bool": _bool,
    "int": _number,
    "float": _number,
    "any": _any,
}


def from_text(option: Option, text: str, cast: str | None = None) -> Any:
    """Return the value that `text`, from a command line, stands for.

    Args:
        option: Row of the setting.
        text: What follows the equals sign.
        cast: A name in `CASTS`; by default the type of the setting, where lists may also be written with
            commas.

    Raises:
        KeyError: There is no such cast.
        ValueError: The text cannot be read as that type.
        ImproperlyConfigured: The value is out of range for the setting.
    """
    if cast is not None:
        try:
            convert = CASTS[cast]
        except KeyError:
            raise KeyError(f"unknown type {cast!r}; write one of {', '.join(CASTS)}") from None
        return check(option, convert(text))
    if option.type in {"list", "tuple"} and not text.lstrip().startswith("["):
        items = [item.strip() for item in text.split(",") if item.strip()]
        return tuple(items) if option.type == "tuple" else items
    value = CASTS[option.type](text)
    if option.type == "dict" and not isinstance(value, dict):
        raise ValueError(f"{text!r} is no JSON object")
    return check(option, value)


def _from_json(text: str) -> Any:
    import json

    return json.loads(text)


def _identity(text: str) -> str:
    return text


CASTS: Final[dict[str, Callable[[str], Any]]] = {
    "string": _identity,
    "any": _identity,
    "bytes": str.encode,
    "int": int,
    "float": float,
    "bool": parse_bool,
    "dict": _from_json,
    "list": _from_json,
    "tuple": _from_json,
    "json": _from_json,
}
