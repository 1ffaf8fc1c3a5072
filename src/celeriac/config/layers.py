"""`Layers`, what a configuration has below its changes: the source and the added defaults.

Reads each once and keeps what it found; how layers and defaults combine into values is `settings`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from celeriac.config.loader import ObjectSource, read_source
from celeriac.config.names import (
    OLD_NAMES,
    canonical,
    check_style,
    near_miss,
    prefixed,
    unknown_setting_message,
)
from celeriac.config.options import OPTIONS
from celeriac.config.values import check
from celeriac.exceptions import ImproperlyConfigured, UnknownSettingWarning

__all__ = ["Defaults", "Layer", "Layers", "warn_if_near_miss"]

Defaults = Mapping[str, Any] | Callable[[], Mapping[str, Any]]

#: Sources that keep upper-case names for good: in Django's settings all names are upper-case.
_OLD_NAMES_WELCOME: Final = frozenset({"django.conf:settings"})


class _NoSource:
    """Marks that no source was set, as None can be one by mistake."""


_NO_SOURCE: Final = _NoSource()


class Layer(NamedTuple):
    """One mapping, and its known settings under their new names, checked."""

    source: Mapping[str, Any]
    values: dict[str, Any]


class Layers:
    """The source and the added defaults of one configuration.

    Args:
        default_source: Called for the configuration when no source was set.
    """

    def __init__(self, default_source: Callable[[], Mapping[str, Any]]) -> None:
        self.namespace: str | None = None
        self.is_read = False
        self._default_source = default_source
        self._source: Any = _NO_SOURCE
        self._silent = False
        self._pending: list[Defaults] = []
        self._added: list[Mapping[str, Any]] = []
        self._layers: list[Layer] = []

    @property
    def source(self) -> Any:
        """The source as it was given; None if none was."""
        return None if self._source is _NO_SOURCE else self._source

    def copy(self) -> Layers:
        """Return layers with the same content that change independently."""
        other = Layers(self._default_source)
        other.__dict__.update(self.__dict__)
        other._pending, other._added = self._pending[:], self._added[:]
        other._layers = self._layers[:]
        return other

    def set_source(self, source: Any, namespace: str | None, silent: bool) -> None:
        """Replace the source; it is not read yet."""
        self._source, self._silent = source, silent
        self.namespace = namespace or self.namespace
        self.is_read = False

    def read(self, changed: Mapping[str, Any]) -> bool:
        """Read the source and all added defaults.

        Args:
            changed: Settings changed since, by new name: they do not count as old or new style.

        Returns:
            False if the source could not be imported and was set as silent.

        Raises:
            ImportError: The source cannot be imported.
            ImproperlyConfigured: The source lacks an attribute, mixes old and new names, or has an unusable
                value.
        """
        opened = self._open()
        source = {} if opened is None else opened
        if not self.namespace:
            check_style(key for key in source if (canonical(key) or (0, key))[1] not in changed)
        self._layers = [_read_layer(mapping, self.namespace) for mapping in (source, *self._added)]
        self.is_read = True
        self._read_pending()
        return opened is not None

    def add(self, defaults: Defaults) -> None:
        """Put `defaults` on top of the layers; a callable is called when the source is read."""
        self._pending.append(defaults)
        if self.is_read:
            self._read_pending()

    def _read_pending(self) -> None:
        while self._pending:
            defaults = self._pending.pop(0)
            mapping = defaults() if callable(defaults) else defaults
            self._added.append(mapping)
            self._layers.append(_read_layer(mapping, self.namespace))

    def _open(self) -> Mapping[str, Any] | None:
        if self._source is _NO_SOURCE:
            return self._default_source()
        try:
            return read_source(self._source)
        except (ImportError, AttributeError) as exc:
            if self._silent:
                return None
            if isinstance(exc, AttributeError):
                # As an AttributeError it would look like a missing setting to whoever reads one.
                raise ImproperlyConfigured(f"Cannot read the configuration from {self._source!r}: {exc}.") from exc
            exc.add_note(f"This happened while reading the configuration from {self._source!r}.")
            raise

    def values(self) -> dict[str, Any]:
        """The known settings that some layer has, with the value of the topmost."""
        merged: dict[str, Any] = {}
        for layer in self._layers:
            merged.update(layer.values)
        return merged

    def has(self, name: str) -> bool:
        """Whether some layer has the known setting `name`."""
        return any(name in layer.values for layer in self._layers)

    def custom(self, key: str) -> Any:
        """Return the value of a name that is no known setting, from the topmost layer that has it.

        Raises:
            KeyError: No layer has it.
        """
        spellings = (prefixed(key, self.namespace), key) if self.namespace else (key,)
        for layer in reversed(self._layers):
            for name in spellings:
                if name in layer.source:
                    return layer.source[name]
        raise KeyError(key)

    def custom_names(self) -> Iterator[str]:
        """The names that are no known settings; of a source with a namespace only those under it."""
        prefix = self.namespace.rstrip("_") + "_" if self.namespace else ""
        for layer in self._layers:
            for key in layer.source:
                known = not key.startswith(prefix) or canonical(key, self.namespace) is not None
                if not known and not _is_code(layer.source, key):
                    yield key

    def old_names(self) -> list[str]:
        """The old upper-case names that the source uses, unless old names are welcome there."""
        if not self._layers or (isinstance(self._source, str) and self._source in _OLD_NAMES_WELCOME):
            return []
        found = ((key, canonical(key, self.namespace)) for key in self._layers[0].source)
        return [key for key, match in found if match is not None and match[0] == 2 and key in OLD_NAMES]


def _read_layer(source: Mapping[str, Any], namespace: str | None) -> Layer:
    """Take the known settings from `source`, and warn of other names that look like one."""
    best: dict[str, tuple[int, str]] = {}
    for key in source:
        found = canonical(key, namespace)
        if found is None:
            if not _is_code(source, key):
                warn_if_near_miss(key, namespace)
        elif found[1] not in best or found[0] < best[found[1]][0]:
            best[found[1]] = (found[0], key)
    return Layer(source, {name: check(OPTIONS[name], source[key], key) for name, (_, key) in best.items()})


def _is_code(source: Mapping[str, Any], key: str) -> bool:
    return isinstance(source, ObjectSource) and source.is_code(key)


def warn_if_near_miss(key: str, namespace: str | None, stacklevel: int = 2) -> None:
    """Emit UnknownSettingWarning if the unknown name `key` resembles a setting."""
    match = near_miss(key, namespace)
    if match is not None:
        warnings.warn(unknown_setting_message(key, match), UnknownSettingWarning, stacklevel=stacklevel + 1)
