"""Results in the key-value store of Consul, through py-consul.

Entries carry the time at which they expire in their flags, by which the daily clean-up deletes them.  Clients that wait
look again.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.driver import ABSENT, ANY, Entry, ParallelDriver, Stored, in_parallel, missing_package
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import parse_url, redact

try:
    import consul
    from consul import exceptions as errors
    from requests import RequestException
except ImportError as exc:
    raise missing_package("Consul", "py-consul", "consul") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions

#: Letters of an id by which entries are looked through in parts.
_LETTERS: Final = 2


class ConsulDriver(ParallelDriver):
    """Keys below a path.

    Args:
        connect: Makes a client.
        path: The path, with a slash at its end unless it is empty.
        url: Its URL, masked.
    """

    name = "consul"
    expires = False

    def __init__(self, connect: Callable[[], Any], path: str, url: str) -> None:
        self.url = url
        self._path = path
        self._client: PerProcess[Any] = PerProcess(connect, lambda client: client.http.session.close())

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        kv = self._client.get().kv

        def read_one(key: str) -> Stored | None:
            _, found = kv.get(self._path + key)
            return None if found is None else Stored(found["Value"] or b"", found["ModifyIndex"])

        found = zip(keys, in_parallel(read_one, keys, self.requests_at_once), strict=True)
        return {key: stored for key, stored in found if stored is not None}

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        expected = {} if expecting is ANY else {"cas": 0 if expecting is ABSENT else expecting}
        flags = 0 if entry.seconds is None else int(time.time() + entry.seconds) + 1
        return bool(self._client.get().kv.put(self._path + entry.key, entry.data, flags=flags, **expected))

    def delete(self, keys: Sequence[str]) -> None:
        for _ in in_parallel(self._client.get().kv.delete, [self._path + key for key in keys], self.requests_at_once):
            continue

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        return sum(self._sweep_prefix(self._path + prefix) for prefix in lifetimes)

    def _sweep_prefix(self, prefix: str) -> int:
        kv, now, removed = self._client.get().kv, time.time(), 0
        _, names = kv.get(prefix, keys=True)
        # Their values come along: not of all at once.
        for part in sorted({name[: len(prefix) + _LETTERS] for name in names or ()}):
            _, entries = kv.get(part, recurse=True)
            for entry in entries or ():
                if 0 < entry["Flags"] <= now and kv.delete(entry["Key"], cas=entry["ModifyIndex"]):
                    removed += 1
        return removed

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except (errors.ACLPermissionDenied, errors.ACLDisabled) as exc:
            raise SessionRefused(f"{self.url} refused: {exc}; give a token in CONSUL_HTTP_TOKEN") from exc
        except errors.ClientError as exc:
            raise BackendStoreError(
                f"{self.url} did not keep a result: {exc}; Consul keeps values of up to 512 KB"
            ) from exc
        except errors.ConsulException as exc:
            raise OperationalError(f"{self.url} failed: {exc}") from exc
        except RequestException as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc}") from exc

    def close(self) -> None:
        self._client.close()


def open_driver(url: str, options: BackendOptions) -> ConsulDriver:
    """``consul://host:8500/path``; one client serves all threads, whatever ``?one_client=`` says."""
    parts = parse_url(url if "://" in url else f"{url}://")
    unknown = set(parts.query) - {"one_client"}
    if unknown:
        raise ImproperlyConfigured(
            f"result_backend {redact(url)!r}: unknown option {sorted(unknown)[0]!r}; known is one_client"
        )
    path = parts.path.strip("/")
    timeout: Any = (min(options.connect_timeout, options.timeout), options.timeout)

    def connect() -> Any:
        # Without host and port, the client looks for them in the environment.
        return consul.Consul(parts.host or None, parts.port, consistency="consistent", connections_timeout=timeout)

    return ConsulDriver(connect, f"{path}/" if path else "", redact(url))
