"""``broker_transport_options`` that no driver reads, and what is said of those that nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: Options of the app's publisher and of other layers, which share the setting.
ELSEWHERE = frozenset(
    {
        "app_name",
        "connect_retries_timeout",
        "errback",
        "interval_max",
        "interval_start",
        "interval_step",
        "max_retries",
        "polling_interval",
        "retry_policy",
    }
)
#: What the options of other brokers are called here.
_SETTINGS = {"visibility_timeout": "broker_lease", "confirm_publish": "broker_confirm_publish"}


def refuse_unknown(given: Iterable[str], known: Collection[str], broker: str) -> None:
    """Make sure that a broker knows its options.

    Args:
        given: Names of the options given.
        known: Names of those that the broker reads.
        broker: What it is called in the message.

    Raises:
        ImproperlyConfigured: One is unknown.
    """
    known = {*known, *ELSEWHERE}
    for name in sorted(set(given) - known):
        if name in _SETTINGS:
            hint = f"use the setting {_SETTINGS[name]}"
        elif meant := closest(name, known):
            hint = f"did you mean {meant!r}?"
        else:
            hint = f"known are {', '.join(sorted(known))}"
        raise ImproperlyConfigured(f"broker_transport_options: the {broker} broker has no option {name!r}; {hint}")
