"""`Settings`, the configuration of an app: one mapping over changes, added defaults, a source and the table.

Does not know the app; sources are read by `layers`, what names mean is decided by `names`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from celeriac.config.censor import censor
from celeriac.config.layers import Defaults, Layers, warn_if_near_miss
from celeriac.config.loader import default_config
from celeriac.config.names import OLD_NAMES, FoundOption, canonical, find_option
from celeriac.config.options import OPTIONS
from celeriac.config.values import check

__all__ = ["ENVIRONMENT", "Settings", "assume_celery_defaults"]

#: Settings that an environment variable overrides on every read.
ENVIRONMENT: Final = {
    "broker_url": "CELERY_BROKER_URL",
    "broker_read_url": "CELERY_BROKER_READ_URL",
    "broker_write_url": "CELERY_BROKER_WRITE_URL",
    "result_backend": "CELERY_RESULT_BACKEND",
}
#: Settings that, while None, have the value of another one.
_FALLBACKS: Final = {
    "broker_read_url": "broker_url",
    "broker_write_url": "broker_url",
    "task_default_exchange": "task_default_queue",
    "task_default_routing_key": "task_default_queue",
    "timezone": "TIME_ZONE",
}
#: Settings whose value is worked out on each read.
_COMPUTED: Final = tuple({**ENVIRONMENT, **_FALLBACKS})

#: Whether settings made from now on have Celery's defaults unless they say otherwise.
_celery_assumed = False


def assume_celery_defaults(on: bool) -> None:
    """Say which defaults settings made from now on have, unless they set `celery_defaults`."""
    global _celery_assumed
    _celery_assumed = on


class Settings(MutableMapping[str, Any]):
    """The configuration of an app, read as attributes or items.

    A value comes from the first of these that has it: changes made here, added defaults (the latest first),
    the source, the table. Every layer may use new names, old upper-case names, and names under the namespace.
    Nothing is read before the first value is asked for. Known settings are then kept: `refresh` reads them
    again.

    Args:
        changes: Settings that win over every source; they may use old or new names.
        celery_defaults: Whether the setting `celery_defaults` is on unless a source says otherwise; None is what
            `assume_celery_defaults` said last.
        default_source: Called for the configuration when no source was set; by default the module named by
            the environment variable `CELERY_CONFIG_MODULE`, if any.
        lock: Held while settings are read; that of the app, whose objects are made under it of settings.

    Attributes:
        before_load: Functions called without arguments before a source is read; they may change settings.
        after_load: Functions called with these settings when a source has been read.

    Raises:
        ImproperlyConfigured: A change has a value that its setting cannot have.
    """

    __slots__ = (
        "__weakref__",
        "_celery_defaults",
        "_changes",
        "_computed",
        "_defaults",
        "_flat",
        "_layers",
        "_loading",
        "_lock",
        "_observers",
        "_with_defaults",
        "after_load",
        "before_load",
    )

    before_load: list[Callable[[], object]]
    after_load: list[Callable[[Settings], object]]

    def __init__(
        self,
        changes: Mapping[str, Any] | None = None,
        *,
        celery_defaults: bool | None = None,
        default_source: Callable[[], Mapping[str, Any]] = default_config,
        lock: Any = None,
    ) -> None:
        self._lock = threading.RLock() if lock is None else lock
        self._celery_defaults = _celery_assumed if celery_defaults is None else celery_defaults
        self._with_defaults = True
        self._layers = Layers(default_source)
        self._loading = False
        self._defaults: dict[str, Any] = {}
        self._flat: dict[str, Any] | None = None
        self._computed: dict[str, Any] = {}
        self._observers: list[Callable[..., object]] = []
        self.before_load = []
        self.after_load = []
        self._changes: dict[str, Any] = {}
        self._write(changes or {}, stacklevel=3)

    # -- reading -------------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        flat = self._flat
        if flat is None:
            flat = self._resolve()
        try:
            return flat[key]
        except KeyError:
            return self._read_rare(key)

    def __getattr__(self, name: str) -> Any:
        if name[0] == "_":  # a slot that is not set yet, or a protocol that copy or pickle looks for
            raise AttributeError(f"Settings has no attribute {name!r}", name=name, obj=self)
        # Outside of the try: an error in a source is not a missing setting.
        flat = self._flat or self._resolve()
        try:
            return flat[name] if name in flat else self._read_rare(name)
        except KeyError:
            raise AttributeError(f"no setting is called {name!r}", name=name, obj=self) from None

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        try:
            self[key]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        flat = self._flat or self._resolve()
        yield from flat
        yield from self._computed
        customs = [key for key in self._changes if key not in OPTIONS]
        yield from dict.fromkeys([*customs, *self._layers.custom_names()])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *OPTIONS]

    def __repr__(self) -> str:
        unread = "" if self.configured else ", source not read yet"
        return f"<Settings: {len(self._changes)} changed{unread}>"

    def _read_rare(self, key: str) -> Any:
        """Read a setting that is not in the flat table: computed, spelt otherwise, or the user's own."""
        if key in _COMPUTED:
            return self._compute(key)
        found = canonical(key, self._layers.namespace)
        if found is not None:
            if found[1] == key:
                raise KeyError(key)
            return self[found[1]]
        return self._changes[key] if key in self._changes else self._layers.custom(key)

    def _compute(self, key: str) -> Any:
        from_environment = os.environ.get(ENVIRONMENT.get(key, ""))
        if from_environment:
            return from_environment
        value = self._computed[key]
        return self.get(_FALLBACKS[key]) if value is None and key in _FALLBACKS else value

    def first(self, *keys: str) -> Any:
        """Return the first value among `keys` that is not None; None if there is none."""
        return next((value for value in map(self.get, keys) if value is not None), None)

    def value_set_for(self, key: str) -> bool:
        """Whether `key` was set by anything but the table of defaults."""
        if self._flat is None:
            self._resolve()
        name = self._name(key)
        if name in OPTIONS:
            in_environment = bool(os.environ.get(ENVIRONMENT.get(name, "")))
            return in_environment or name in self._changes or self._layers.has(name)
        return name in self

    def find_option(self, name: str, namespace: str | None = "celery") -> FoundOption:
        """Find the row of a setting by the part of its name after the namespace.

        Raises:
            KeyError: There is no such setting.
        """
        return find_option(name, namespace)

    def find_value_for_key(self, name: str, namespace: str | None = "celery") -> Any:
        """Return the value of the setting that `find_option` finds."""
        return self.get_by_parts(*find_option(name, namespace)[:2])

    def get_by_parts(self, *parts: str | None) -> Any:
        """Return the setting whose name is `parts`, the empty ones left out, joined by underscores."""
        return self["_".join(part for part in parts if part)]

    # -- writing -------------------------------------------------------------------------------------------

    def __setitem__(self, key: str, value: Any) -> None:
        self._write({key: value}, stacklevel=3)
        self._changed({key: value})

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _SLOTS:
            object.__setattr__(self, name, value)
        else:
            self._write({name: value}, stacklevel=3)
            self._changed({name: value})

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __delattr__(self, name: str) -> None:
        try:
            self.pop(name)
        except KeyError:
            raise AttributeError(f"setting {name!r} was not changed here", name=name, obj=self) from None

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several settings and tell observers once; if one value is refused, none is changed."""
        changes = dict(*args, **kwargs)
        self._write(changes, stacklevel=3)
        self._changed(changes)

    def pop(self, key: str, *default: Any) -> Any:
        """Take back a change and return its value; the setting then has its former value again."""
        name = self._name(key)
        if name not in self._changes:
            return self._changes.pop(name, *default)
        value = self._changes.pop(name)
        self._flat = None
        self._changed({name: self.get(name)} if self.configured else {})
        return value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Set `key` if nothing, not even the table, has it, and return its value."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Take back all changes."""
        self._changes.clear()
        self._changed({})

    def add_defaults(self, defaults: Defaults) -> None:
        """Put a mapping just below the changes; a callable is called for it when the source is read."""
        with self._lock:
            self._layers.add(defaults)
        self._changed({})

    def bind_to(self, callback: Callable[..., object]) -> None:
        """Call `callback` with the changed settings as keyword arguments after each change.

        Names are as the change spelt them. Without arguments it means that any setting may have changed:
        after `load`, `refresh`, `clear` and `add_defaults`.
        """
        self._observers.append(callback)

    def _write(self, changes: Mapping[str, Any], *, stacklevel: int) -> None:
        checked: dict[str, Any] = {}
        for key, value in changes.items():
            found = canonical(key, self._layers.namespace)
            if found is None:
                warn_if_near_miss(key, None, stacklevel)
                checked[key] = value
            else:
                checked[found[1]] = check(OPTIONS[found[1]], value, key)
        self._changes.update(checked)
        self._flat = None

    def _changed(self, changes: Mapping[str, Any]) -> None:
        self._flat = None
        for callback in self._observers:
            callback(**changes)

    def _name(self, key: str) -> str:
        found = canonical(key, self._layers.namespace)
        return key if found is None else found[1]

    # -- loading -------------------------------------------------------------------------------------------

    @property
    def configured(self) -> bool:
        """Whether the source has been read."""
        return self._layers.is_read

    @property
    def namespace(self) -> str | None:
        """Prefix under which the source keeps its settings."""
        return self._layers.namespace

    @property
    def changes(self) -> dict[str, Any]:
        """A copy of the changes, by new name."""
        return dict(self._changes)

    @property
    def source(self) -> Any:
        """The source as it was given to `load`; None if none was."""
        return self._layers.source

    def load(self, source: Any, namespace: str | None = None, silent: bool = False, *, lazy: bool = False) -> bool:
        """Take the configuration from `source` in place of any source before; changes stay.

        Args:
            source: What `loader.read_source` takes.
            namespace: Prefix of the names in the source; None keeps the one before.
            silent: Whether a source that cannot be imported is passed over.
            lazy: Whether reading waits until the first value is asked for, unless one has been read already.

        Returns:
            False if the source could not be imported, and `silent`.

        Raises:
            ImportError: The source cannot be imported, and not `silent`.
            ImproperlyConfigured: The source lacks an attribute, mixes old and new names, or has an unusable
                value.
        """
        with self._lock:
            was_configured = self.configured
            self._layers.set_source(source, namespace, silent)
            self._flat = None
            if self._loading or (lazy and not was_configured):
                return True
            found = self._read()
        self._changed({})
        return found

    def refresh(self) -> None:
        """Read the source again: it may have changed, as Django's does under `override_settings`."""
        with self._lock:
            if not self.configured:
                return
            self._layers.read(self._changes)
        self._changed({})

    def _read(self) -> bool:
        """Read the source between the hooks; whether it was there."""
        self._loading = True
        try:
            for before in self.before_load:
                before()
            found = self._layers.read(self._changes)
        finally:
            self._loading = False
        for after in self.after_load:
            after(self)
        return found

    def _resolve(self) -> dict[str, Any]:
        """Read the source if that is still to be done, and merge all layers into the flat table."""
        with self._lock:
            if not self.configured and not self._loading:
                self._read()
            known = {key: value for key, value in self._changes.items() if key in OPTIONS}
            explicit = {**self._layers.values(), **known}
            flat = {**self._own_defaults(explicit), **explicit}
            self._computed = {key: flat.pop(key) for key in _COMPUTED if key in flat}
            if not self._loading:
                self._flat = flat
            return flat

    def _own_defaults(self, explicit: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults, with dicts of this instance's own: users add to `beat_schedule` in place."""
        if not self._with_defaults:
            return {}
        celery = bool(explicit.get("celery_defaults", self._celery_defaults))
        if self._defaults.get("celery_defaults") is not celery:
            defaults = {name: option.default_for(celery=celery) for name, option in OPTIONS.items()}
            self._defaults = {
                name: value.copy() if isinstance(value, dict) else value for name, value in defaults.items()
            }
            self._defaults["celery_defaults"] = celery
        return self._defaults

    # -- copies and views ----------------------------------------------------------------------------------

    def copy(self) -> Settings:
        """Return settings with the same source and changes of their own."""
        return self._clone(with_defaults=self._with_defaults)

    __copy__ = copy

    def without_defaults(self) -> Settings:
        """Return these settings without the table: what is not set is missing."""
        return self._clone(with_defaults=False)

    def _clone(self, *, with_defaults: bool) -> Settings:
        if self._flat is None:
            self._resolve()
        clone = Settings(celery_defaults=self._celery_defaults)
        clone._changes = dict(self._changes)
        clone._layers = self._layers.copy()
        clone._with_defaults = with_defaults
        return clone

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Return settings and their values as a plain dict.

        Args:
            with_defaults: Whether settings that have their default are included.
            censored: Whether passwords and keys are hidden.
        """
        items = dict(self if with_defaults else self.without_defaults())
        return {key: censor(key, value) for key, value in items.items()} if censored else items

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """Return `table` as text, a line for each setting."""
        return "\n".join(f"{key}: {value!r}" for key, value in self.table(with_defaults, censored).items())

    def deprecation_messages(self) -> list[str]:
        """Say which old names the source uses and which deprecated settings are set."""
        if self._flat is None:
            self._resolve()
        old = self._layers.old_names()
        messages = [f"The setting name {key!r} is deprecated; use {OLD_NAMES[key]!r}." for key in old]
        if old:
            messages.append("The command `upgrade settings FILE` renames the settings in a file.")
        if self.value_set_for("task_acks_on_failure_or_timeout"):
            messages.append(
                "The setting 'task_acks_on_failure_or_timeout' is deprecated; use 'task_acks_on_failure' and"
                " 'task_acks_on_timeout'."
            )
        return messages


_SLOTS: Final = frozenset(Settings.__slots__)
