"""Which setting a name means: new names, old upper-case names, names under a namespace, and near misses.

Holds no values; looks at names only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from celeriac.config.options import OPTIONS, Option
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "NEW_NAMES",
    "OLD_NAMES",
    "FoundOption",
    "canonical",
    "check_style",
    "find_option",
    "near_miss",
    "prefixed",
    "unknown_setting_message",
]

#: Old name → new name.
OLD_NAMES: Final[dict[str, str]] = {option.old: option.name for option in OPTIONS.values() if option.old}
#: New name → old name.
NEW_NAMES: Final[dict[str, str]] = {new: old for old, new in OLD_NAMES.items()}

#: Names outside of the table that Celeriac reads: Django's time zone.
_READ_TOO: Final = frozenset({"TIME_ZONE"})
_SIMILARITY: Final = 0.85  # below, different settings of one family begin to resemble each other
_LENGTH_DIFFERENCE: Final = 2
_SHORTEST: Final = 5


class FoundOption(NamedTuple):
    """Where `find_option` found a setting; the first two parts joined by `_` are its name."""

    namespace: str | None
    key: str
    option: Option


def prefixed(key: str, namespace: str) -> str:
    """Spell the name `key` under `namespace`, in the case of the namespace."""
    name = f"{namespace.rstrip('_')}_{key}"
    return name.upper() if namespace.isupper() else name


def canonical(key: str, namespace: str | None = None) -> tuple[int, str] | None:
    """Return the setting that `key` means and the rank of its spelling, or None for a name that is unknown.

    Where one source has several spellings of a setting, the lowest rank wins: 0 the new name under the
    namespace, 1 the new name, 2 the old name.
    """
    if namespace:
        name = _without_prefix(key, namespace)
        if name in OPTIONS:
            return 0, name
    if key in OPTIONS:
        return 1, key
    new = OLD_NAMES.get(key)
    return None if new is None else (2, new)


def _without_prefix(key: str, namespace: str) -> str:
    """Return the setting name that follows the prefix of `namespace`; empty if `key` is not under it."""
    prefix = namespace.rstrip("_") + "_"
    if not key.startswith(prefix):
        return ""
    rest = key[len(prefix) :]
    if not namespace.isupper():
        return rest
    return rest.lower() if rest == rest.upper() else ""


def check_style(keys: Iterable[str]) -> None:
    """Refuse a configuration that uses old names and new names side by side.

    The style with fewer names loses (the old one, if there are as many); a name of the losing style is
    accepted when the other name of the same setting is present too. Names that Celery does not declare belong
    to neither style.

    Raises:
        ImproperlyConfigured: Lists the renames that make the configuration use one style.
    """
    declared = [key for key in keys if (found := canonical(key)) and OPTIONS[found[1]].declared]
    new = {key for key in declared if key in OPTIONS}
    old = {key for key in declared if key not in OPTIONS}
    if len(old) > len(new):
        losing, winning, renames, style = new, old, NEW_NAMES, "old upper-case"
    else:
        losing, winning, renames, style = old, new, OLD_NAMES, "new lower-case"
    wrong = sorted(key for key in losing if renames[key] not in winning)
    if wrong:
        lines = "\n".join(f"  {key} -> {renames[key]}" for key in wrong)
        raise ImproperlyConfigured(
            f"Old and new setting names are mixed; use the {style} names only, and rename:\n{lines}"
        )


def near_miss(key: str, namespace: str | None = None) -> str | None:
    """Return the spelling of a real setting that the unknown name `key` resembles, or None.

    Under a namespace only names with its prefix are judged: the rest of the source belongs to someone else.
    """
    prefix = ""
    if key in _READ_TOO:
        return None
    if namespace:
        prefix = namespace.rstrip("_") + "_"
        if not key.startswith(prefix):
            return None
    name = key[len(prefix) :].lower()
    match = _resembled(name)
    if match is None:
        return None
    return prefixed(match, namespace) if namespace else match


def _resembled(name: str) -> str | None:
    bare = name.removeprefix("celery_")
    if bare in OPTIONS:
        return bare
    if len(name) < _SHORTEST:
        return None
    pool = {known: known for known in OPTIONS} | {old.lower(): new for old, new in OLD_NAMES.items()}
    close = [known for known in pool if abs(len(known) - len(name)) <= _LENGTH_DIFFERENCE]
    found = closest(name, close, _SIMILARITY)
    return None if found is None else pool[found]


def unknown_setting_message(key: str, match: str) -> str:
    """Say that `key` is unknown, what was probably meant, and how to keep the name without this message."""
    hint = ""
    if key.isupper() and key.startswith("CELERY_") and key[7:].lower() == match:
        hint = " (or pass namespace='CELERY' to config_from_object)"
    return (
        f"Setting {key!r} is unknown; did you mean {match!r}{hint}? It is kept, but changes nothing in"
        " Celeriac. If the name is your own, silence this with warnings.filterwarnings('ignore',"
        f" message=\"Setting '{key}'\", category=celeriac.exceptions.UnknownSettingWarning)."
    )


def find_option(name: str, namespace: str | None = "celery") -> FoundOption:
    """Find a setting by the part of its name that follows a namespace.

    Args:
        name: A part (``concurrency``) or a whole name (``worker_concurrency``), in any case.
        namespace: First word of the name, tried first.

    Raises:
        KeyError: There is no such setting.
    """
    name = name.lower()
    if namespace:
        option = OPTIONS.get(f"{namespace.lower()}_{name}")
        if option is not None:
            return FoundOption(namespace.lower(), name, option)
    if name in OPTIONS:
        return FoundOption(None, name, OPTIONS[name])
    for option in OPTIONS.values():
        first, _, rest = option.name.partition("_")
        if rest == name:
            return FoundOption(first, name, option)
    match = _resembled(name)
    raise KeyError(f"no setting is called {name!r}" + (f"; did you mean {match!r}?" if match else ""))
