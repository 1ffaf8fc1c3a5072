"""Server URLs taken apart, masked for logs, and split into failover lists.

What the parts mean to a particular server is its driver's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "**"

_QUERY_SECRET = r"(?<=[?&])(?P<name>\w*password)=[^&;#\s]*"  # noqa: S105 - a pattern
_USERINFO = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)(?P<userinfo>[^/?#;\s]*)@"


@dataclass(frozen=True)
class ServerURL:
    """A URL in parts, percent-decoded.

    Attributes:
        scheme: Lower-cased scheme, such as ``redis`` or ``redis+socket``.
        username, password: None where absent.
        host: Host name or address; ``""`` where absent.
        port: Port, or None.
        path: Everything between the authority and ``?``, without its first slash.
        query: Query parameters; of a repeated one, the last.
    """

    scheme: str
    username: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


def parse_url(url: str) -> ServerURL:
    """Take a URL apart.

    >>> parse_url("redis://:s%40crit@cache:6380/2?client_name=x").password
    's@crit'

    Raises:
        ImproperlyConfigured: It has no ``scheme://``, or its port is not a number.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ImproperlyConfigured(f"{redact(url)!r} is no URL: it has to begin with scheme://")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    userinfo, at, hostport = authority.rpartition("@")
    username, colon, password = userinfo.partition(":")
    host, port = _split_port(hostport, url)
    return ServerURL(
        scheme=scheme.lower(),
        username=_unquote(username) if at and username else None,
        password=_unquote(password) if at and colon else None,
        host=_unquote(host),
        port=port,
        path=_unquote(path),
        query=_parse_query(query),
    )


def _unquote(text: str) -> str:
    """Percent-decoded; few URLs are worth `urllib.parse` and the `ipaddress` behind it."""
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _parse_query(text: str) -> dict[str, str]:
    if not text:
        return {}
    from urllib.parse import parse_qsl

    return dict(parse_qsl(text, keep_blank_values=True))


def _split_port(hostport: str, url: str) -> tuple[str, int | None]:
    if hostport.startswith("["):
        host, _, rest = hostport[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = hostport.partition(":")
    if not port:
        return host, None
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ImproperlyConfigured(
            f"{redact(url)!r} has the port {port!r}; a port is a number between 1 and 65535 "
            "(a password with special characters has to be percent-encoded)"
        )
    return host, int(port)


def lookup_form(host: str) -> str | bytes:
    """A host as `socket` looks it up without importing the codec of international names, 3 ms of a first call.

    >>> lookup_form("localhost"), lookup_form("bücher.example")
    (b'localhost', 'bücher.example')
    """
    return host.encode() if host.isascii() else host


def redact(url: str) -> str:
    """Mask the password of every URL in a text, for logs and messages.

    >>> redact("redis://user:secret@host/1;redis://:other@host2/1")
    'redis://user:**@host/1;redis://:**@host2/1'
    """
    return re.sub(_QUERY_SECRET, rf"\g<name>={MASK}", re.sub(_USERINFO, _mask, url))


def _mask(match: re.Match[str]) -> str:
    username, colon, _ = match["userinfo"].partition(":")
    secret = colon + MASK if colon else ""
    return f"{match['scheme']}{username}{secret}@"


def split_failover(urls: str | Iterable[str]) -> list[str]:
    """The URLs of a failover list, in order.

    Entries after the first may leave out the scheme, which is then that of the first.

    >>> split_failover("redis://a/0;redis://b/0")
    ['redis://a/0', 'redis://b/0']

    Args:
        urls: One text with URLs joined by ``;``, or several such texts.

    Raises:
        ImproperlyConfigured: There is none, or it is neither a text nor several.
    """
    if isinstance(urls, str):
        texts = [urls]
    elif isinstance(urls, Iterable):
        texts = list(urls)
    else:
        raise ImproperlyConfigured(f"{urls!r} is not a URL, or a list of URLs; write for example 'redis://localhost'")
    parts = [part.strip() for text in texts for part in text.split(";") if part.strip()]
    if not parts:
        raise ImproperlyConfigured(f"{urls!r} holds no URL")
    scheme, separator, _ = parts[0].partition("://")
    return [part if "://" in part or not separator else f"{scheme}://{part}" for part in parts]
