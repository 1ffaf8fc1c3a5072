"""Values of our own in a key-value store: bytes with one lifetime, which are changed in one step.

A change is worked out from what was read, and kept if that is there still; else it is worked out again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import ABSENT, Entry
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.kv.driver import Driver, Stored

#: Changes that others may make in between before it is an error, and seconds of the longest pause between two attempts.
_ATTEMPTS: Final = 60
_LONGEST_PAUSE: Final = 0.25


class Values:
    """Values under keys of `celeriac.backend.keys.OWN_PREFIX`.

    Args:
        driver: The store.
        seconds: How long they are kept after their last change; None is for ever.
    """

    def __init__(self, driver: Driver, seconds: float | None) -> None:
        self._driver = driver
        self._seconds = seconds
        self.url = driver.url

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        """What is kept, by key."""
        if not keys:
            return {}
        with self._driver.errors():
            return self._driver.read(keys)

    def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values, whatever is there."""
        with self._driver.errors():
            self._driver.write_many([self._entry(key, data) for key, data in values.items()])

    def create(self, values: Mapping[str, bytes]) -> None:
        """Keep those under whose keys there is nothing."""
        if values:
            with self._driver.errors():
                self._driver.create_many([self._entry(key, data) for key, data in values.items()])

    def swap(self, key: str, data: bytes, expecting: Any) -> bool:
        """Keep a value unless something else than expected is there: `ABSENT` or a version."""
        with self._driver.errors():
            return self._driver.write(self._entry(key, data), expecting)

    def change(self, key: str, changed: Callable[[bytes | None], bytes | None]) -> None:
        """Put another value in the place of one.

        Args:
            key: Its key.
            changed: Works out the value from that which is there, if there is one; None leaves it alone. It is called
                again when others change the value meanwhile, and the last call counts.

        Raises:
            OperationalError: Others kept changing it.
        """
        for _ in attempts(f"{key} in {self.url} was not changed"):
            there = self.read([key]).get(key)
            data = changed(None if there is None else there.data)
            if data is None or (there is not None and data == there.data):
                return
            if self.swap(key, data, ABSENT if there is None else there.version):
                return

    def delete(self, keys: Sequence[str]) -> None:
        """Forget values."""
        with self._driver.errors():
            self._driver.delete(keys)

    def _entry(self, key: str, data: bytes) -> Entry:
        return Entry(key, data, self._seconds)


def attempts(failure: str) -> Iterator[None]:
    """Goes round as often as it is worth while others are faster, with pauses by chance.

    Raises:
        OperationalError: It was not; the failure says what did not happen.
    """
    from random import uniform

    for number in range(_ATTEMPTS):
        yield
        time.sleep(uniform(0, min(0.001 * 2**number, _LONGEST_PAUSE)))
    raise OperationalError(f"{failure}: others changed what is there, {_ATTEMPTS} times in a row")
