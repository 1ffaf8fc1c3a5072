"""Redis Sentinel: asks the sentinels where the primary is, for each new connection.

Connections that were open when the primary changed are found broken, or refuse to write, and are replaced.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.drivers.resp import ReplyError, RespConnection
from celeriac.drivers.resp_params import RespParams, params_from_url
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.utils.dataclass import replace
from celeriac.utils.url import parse_url, redact, split_failover

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEFAULT_PORT = 26379
#: Options about the sentinels; the others are about the servers they watch.
OPTIONS = ("master_name", "sentinel_kwargs", "min_other_sentinels")


class Sentinels:
    """Some sentinels that watch one primary.

    Args:
        sentinels: How to reach each.
        name: What they call the primary.
        others: How many other sentinels one has to know for its word to count.
        setting: Name of the setting with the options, for messages.
    """

    def __init__(self, sentinels: Sequence[RespParams], name: str, others: int, setting: str) -> None:
        self._setting = setting
        self._sentinels = list(sentinels)
        self._name = name
        self._others = others

    def locate(self, deadline: float) -> tuple[str, int]:
        """Address of the primary.

        Args:
            deadline: ``time.monotonic()`` until which to try.

        Raises:
            OperationalError: No sentinel knows it.
        """
        failures = []
        for params in list(self._sentinels):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            try:
                # A sentinel that does not answer leaves time for the others.
                found = self._ask(params, time.monotonic() + max(remaining / 2, 0.05))
            except OperationalError as error:
                failures.append(str(error))
                continue
            # The next connection begins with the one that answered.
            self._sentinels.remove(params)
            self._sentinels.insert(0, params)
            return found
        raise OperationalError(
            f"no sentinel says where the primary {self._name!r} is: {'; '.join(failures) or 'none answered in time'}"
        )

    def _ask(self, params: RespParams, deadline: float) -> tuple[str, int]:
        connection = RespConnection(params, deadline=deadline)
        try:
            if self._others:
                self._check_others(connection, deadline)
            answer = connection.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name, deadline=deadline)
        except ReplyError as error:
            raise OperationalError(f"sentinel {params.host}:{params.port} answered: {error}") from error
        finally:
            connection.close()
        if not answer:
            raise OperationalError(
                f"sentinel {params.host}:{params.port} watches no primary called {self._name!r}: see master_name in "
                f"{self._setting}"
            )
        return answer[0].decode(), int(answer[1])

    def _check_others(self, connection: RespConnection, deadline: float) -> None:
        facts = connection.execute("SENTINEL", "MASTER", self._name, deadline=deadline)
        if not isinstance(facts, dict):
            facts = dict(zip(facts[::2], facts[1::2], strict=True))
        known = int(facts[b"num-other-sentinels"])
        if known < self._others:
            raise OperationalError(
                f"sentinel {connection.params.host}:{connection.params.port} knows {known} others, fewer than the "
                f"{self._others} of min_other_sentinels"
            )


def params_from_sentinel_url(
    url: str,
    *,
    connect_timeout: float,
    timeout: float,
    tls: bool | Mapping[str, Any],
    options: Mapping[str, Any],
    setting: str = "result_backend_transport_options",
) -> RespParams:
    """Read ``sentinel://[[user]:password@]host[:26379][/db];sentinel://host2…``.

    User, password and database are those of the servers that the sentinels watch; `sentinel_kwargs` has the ones of the
    sentinels. They are taken from the first URL that has them.

    Args:
        url: The URLs, joined by ``;``.
        connect_timeout: Seconds to connect, finding the primary included.
        timeout: Seconds for one operation.
        tls: TLS parameters of the servers.
        options: ``master_name``, which is necessary, ``sentinel_kwargs``, ``min_other_sentinels`` and those of servers.
        setting: Name of the setting with the options, for messages.

    Raises:
        ImproperlyConfigured: The URL or an option cannot be used, or there is no ``master_name``.
    """
    name = options.get("master_name")
    if not name:
        raise ImproperlyConfigured(
            f"{redact(url)!r}: name the primary that the sentinels watch, as in {setting} = "
            "{'master_name': 'mymaster'}"
        )
    parts = [parse_url(each) for each in split_failover(url)]
    own = {key: value for key, value in options.items() if key not in OPTIONS}
    server = params_from_url(
        "rediss://" if tls else "redis://",
        connect_timeout=connect_timeout,
        timeout=timeout,
        tls=tls,
        options={**own, **{key: value for part in reversed(parts) for key, value in part.query.items()}},
    )
    users = [part for part in parts if part.password is not None or part.username is not None]
    paths = [part.path for part in parts if part.path]
    if users:
        server = replace(server, username=users[0].username, password=users[0].password)
    if paths:
        server = replace(server, db=_database(paths[0], url))
    sentinels = [_sentinel(part.host, part.port, connect_timeout, options) for part in parts]
    locate = Sentinels(sentinels, str(name), int(options.get("min_other_sentinels") or 0), setting).locate
    return replace(server, host=f"the primary {name!r}", locate=locate)


def _sentinel(host: str, port: int | None, connect_timeout: float, options: Mapping[str, Any]) -> RespParams:
    given = dict(options.get("sentinel_kwargs") or {})
    tls = bool(given.pop("ssl", False)) or any(key.startswith("ssl_") for key in given)
    params = params_from_url(
        "rediss://" if tls else "redis://", connect_timeout=connect_timeout, timeout=connect_timeout, options=given
    )
    return replace(params, host=host or "localhost", port=port or _DEFAULT_PORT)


def _database(path: str, url: str) -> int:
    if not path.isdigit():
        raise ImproperlyConfigured(f"{redact(url)!r} names the database {path!r}; Redis databases are numbers")
    return int(path)
