"""Where results are in Cassandra, and how to get there: what the settings say, and what is wrong with them."""

from __future__ import annotations

import json
from inspect import signature
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.cassandra.client import Cluster, InvalidRequest, Levels, auth, balancing
from celeriac.backend.kv.cassandra.tables import OWN_SUFFIX, Tables
from celeriac.exceptions import ImproperlyConfigured, SessionRefused
from celeriac.utils.dataclass import dataclass
from celeriac.utils.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.backend.base import BackendOptions

_DEFAULT_PORT: Final = 9042
#: Characters of a name of a table, which goes into statements as it is.
_LONGEST_NAME: Final = 48
#: Seconds of the longest lifetime that the server takes, 20 years.
_LONGEST_TTL: Final = 20 * 365 * 86400
#: Arguments of the cluster that have settings of their own.
_TAKEN: Final = {
    "contact_points": "cassandra_servers",
    "port": "cassandra_port",
    "auth_provider": "cassandra_auth_provider",
    "cloud": "cassandra_secure_bundle_path",
}


@dataclass(frozen=True)
class Access:
    """Where results are, and how to get there.

    Attributes:
        arguments: Of the cluster.
        keyspace: Its keyspace.
        table: Celery's table.
        levels: Consistency.
        lifetime: Seconds that results are kept, whatever else is set; 0 is for ever, None leaves it to other settings.
        timeout: Seconds for a request.
    """

    arguments: Mapping[str, Any]
    keyspace: str
    table: str
    levels: Levels
    lifetime: int | None
    timeout: float

    def connect(self) -> tuple[Any, Tables]:
        """A cluster and its tables, which are made if they are missing."""
        try:
            cluster = Cluster(**self.arguments, **balancing(self.arguments))
        except (TypeError, ValueError) as exc:
            raise ImproperlyConfigured(f"the settings cassandra_* cannot be used: {exc}") from exc
        try:
            return cluster, self._tables(cluster.connect(self.keyspace))
        except BaseException:
            cluster.shutdown()
            raise

    def _tables(self, session: Any) -> Tables:
        try:
            return Tables(session, self.table, self.levels, self.timeout)
        except InvalidRequest:
            # Looking first spares the server a change of its schema whenever a process starts.
            Tables.make(session, self.table)
        try:
            return Tables(session, self.table, self.levels, self.timeout)
        except InvalidRequest as exc:
            raise SessionRefused(
                f"the tables {self.table} and {self.table}{OWN_SUFFIX} of the keyspace {self.keyspace} in Cassandra "
                f"cannot be used: {exc}"
            ) from exc


def read_access(url: str, options: BackendOptions) -> Access:
    """What the settings say.

    Raises:
        ImproperlyConfigured: They say it wrongly, or not enough.
    """
    settings = options.settings
    if url.partition("://")[2].strip("/"):
        raise ImproperlyConfigured(
            "result_backend names a place in its URL, but results in Cassandra have their place in the settings: set "
            "result_backend = 'cassandra://', cassandra_servers, cassandra_keyspace and cassandra_table"
        )
    return Access(
        _arguments(settings, min(options.connect_timeout, options.timeout)),
        _name(settings, "cassandra_keyspace", _LONGEST_NAME),
        _name(settings, "cassandra_table", _LONGEST_NAME - len(OWN_SUFFIX)),
        Levels(settings.get("cassandra_read_consistency"), settings.get("cassandra_write_consistency")),
        _lifetime(options),
        options.timeout,
    )


def _name(settings: Mapping[str, Any], setting: str, longest: int) -> str:
    name = settings.get(setting)
    if not name:
        raise ImproperlyConfigured(f"results in Cassandra need the setting {setting}")
    if not (isinstance(name, str) and name.isascii() and name.replace("_", "a").isalnum() and name[0].isalpha()):
        raise ImproperlyConfigured(f"{setting} is {name!r}, but names are of letters, digits and _, a letter first")
    if len(name) > longest:
        raise ImproperlyConfigured(f"{setting} is {name!r}, of {len(name)} characters; the longest name has {longest}")
    return name


def _lifetime(options: BackendOptions) -> int | None:
    given = options.settings.get("cassandra_entry_ttl")
    if given is not None and options.failure_expires is not None:
        raise ImproperlyConfigured(
            "cassandra_entry_ttl is how long every result is kept, so that result_failure_expires has no effect: unset "
            "one of them"
        )
    for name, seconds in {"cassandra_entry_ttl": given, "result_expires": options.expires}.items():
        if not isinstance(seconds, int | float | None) or not 0 <= (seconds or 0) <= _LONGEST_TTL:
            raise ImproperlyConfigured(f"{name} is {seconds!r}; Cassandra takes 0 to {_LONGEST_TTL:,} seconds")
    return None if given is None else ceil(given)


def _arguments(settings: Mapping[str, Any], connect_timeout: float) -> dict[str, Any]:
    """What the cluster is made with."""
    further = dict(settings.get("cassandra_options") or {})
    for name in further:
        if name in _TAKEN:
            raise ImproperlyConfigured(f"cassandra_options holds {name!r}, which is set by {_TAKEN[name]}")
        if name not in signature(Cluster.__init__).parameters:
            meant = closest(name, signature(Cluster.__init__).parameters)
            hint = f"; did you mean {meant!r}?" if meant else ""
            raise ImproperlyConfigured(
                f"cassandra_options holds {name!r}, which is no argument of cassandra.cluster.Cluster{hint}"
            )
    return {
        "connect_timeout": connect_timeout,
        "control_connection_timeout": connect_timeout,
        **further,
        **_place(settings),
        "auth_provider": _auth_provider(settings),
    }


def _place(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where the cluster is: at some addresses, or where a bundle says."""
    servers, port = settings.get("cassandra_servers"), settings.get("cassandra_port")
    bundle = settings.get("cassandra_secure_bundle_path") or settings.get("cassandra_bundle_path")
    if bool(servers) == bool(bundle):
        raise ImproperlyConfigured(
            f"results in Cassandra need {'only ' if bundle else ''}one of the settings cassandra_servers and "
            f"cassandra_secure_bundle_path; {'both are' if bundle else 'none is'} set"
        )
    if bundle:
        if port:
            raise ImproperlyConfigured("cassandra_port goes with cassandra_servers; a bundle says the port itself")
        if not Path(bundle).is_file():
            raise ImproperlyConfigured(f"cassandra_secure_bundle_path is {str(bundle)!r}, where there is no file")
        return {"cloud": {"secure_connect_bundle": str(bundle)}}
    try:
        number = int(port or _DEFAULT_PORT)
    except ValueError:
        raise ImproperlyConfigured(f"cassandra_port is {port!r}, which is no number") from None
    # Text in place of a list would be taken for a list of letters.
    names = [name.strip() for name in servers.split(",")] if isinstance(servers, str) else list(servers or ())
    return {"contact_points": names, "port": number}


def _auth_provider(settings: Mapping[str, Any]) -> Any:
    name, arguments = settings.get("cassandra_auth_provider"), settings.get("cassandra_auth_kwargs")
    if not name:
        if arguments:
            raise ImproperlyConfigured("cassandra_auth_kwargs is set, but cassandra_auth_provider is not")
        return None
    provider = getattr(auth, str(name), None)
    if not (isinstance(provider, type) and issubclass(provider, auth.AuthProvider)):
        known = (kind for kind in vars(auth).values() if isinstance(kind, type) and issubclass(kind, auth.AuthProvider))
        raise ImproperlyConfigured(
            f"cassandra_auth_provider is {name!r}, which is no class of cassandra.auth to log in with; these are: "
            f"{', '.join(sorted(kind.__name__ for kind in known if kind is not auth.AuthProvider))}"
        )
    try:
        # The environment gives text.
        given = json.loads(arguments) if isinstance(arguments, str) else arguments
        return provider(**(given or {}))
    except (TypeError, ValueError) as exc:
        raise ImproperlyConfigured(f"cassandra_auth_kwargs does not fit {name}: {exc}") from exc
