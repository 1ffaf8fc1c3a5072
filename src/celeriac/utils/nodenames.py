"""Names of nodes (``celery@host``) and the ``%n``-style expansions.  Queues are declared elsewhere."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NODENAME_DEFAULT: Final = "celery"
NODENAME_SEP: Final = "@"
#: Exchange and queue name of `worker_direct`.
WORKER_DIRECT_EXCHANGE: Final = "C.dq2"
WORKER_DIRECT_QUEUE_FORMAT: Final = "{hostname}.dq2"


@functools.cache
def gethostname() -> str:
    """The name of this host; asked of the system once per process."""
    # Not socket.gethostname: a client that only declares tasks needs no socket module.
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "localhost")


def nodename(name: str, hostname: str) -> str:
    """Join a short name and a host: ``name@hostname``."""
    return f"{name}{NODENAME_SEP}{hostname}"


def anon_nodename(hostname: str | None = None, prefix: str = "gen") -> str:
    """The name of a process that is not a worker: ``gen<pid>@<host>``."""
    return nodename(f"{prefix}{os.getpid()}", hostname or gethostname())


def nodesplit(name: str) -> tuple[str | None, str]:
    """Split ``name@host`` at the first ``@``; a name without ``@`` is a host."""
    short, sep, host = name.partition(NODENAME_SEP)
    return (short, host) if sep else (None, name)


def default_nodename(hostname: str | None, default_name: str = NODENAME_DEFAULT) -> str:
    """Complete a node name.

    >>> default_nodename("foo@bar")
    'foo@bar'

    Args:
        hostname: ``name@host``, a bare host, ``@host``, or None for this host.
        default_name: Used where the short name is missing.
    """
    short, host = nodesplit(hostname or "")
    return nodename(short or default_name, host or gethostname())


def worker_direct_queue(hostname: str) -> str:
    """Name of the queue that only the worker `hostname` reads (``worker_direct``)."""
    return WORKER_DIRECT_QUEUE_FORMAT.format(hostname=hostname)


def node_format(template: str, name: str, **extra: str | int) -> str:
    """Expand ``%p %n %h %d %i %I %%`` in a file name for the node `name`.

    Args:
        template: E.g. ``/var/log/%n%I.log``.
        name: Full node name, ``%p``.
        **extra: More one-letter keys, or the child index: ``i=3, I="-3"``.

    Raises:
        ValueError: The template has an unknown expansion.
    """
    short, host = nodesplit(name)
    return host_format(template, host, short or NODENAME_DEFAULT, **{"p": name, **extra})


def host_format(template: str, host: str | None = None, name: str | None = None, **extra: str | int) -> str:
    """Expand ``%n %h %d %i %I %%``: short name, host, domain, child index (0 and empty in the main process).

    Raises:
        ValueError: The template has an unknown expansion.
    """
    host = host or gethostname()
    short, _, domain = host.partition(".")
    return _expand(template, {"h": host, "n": name or short, "d": domain, "i": "0", "I": "", **extra})


def _expand(template: str, keys: Mapping[str, str | int]) -> str:
    def replace(match: re.Match[str]) -> str:
        letter = match[1]
        if letter == "%":
            return "%"
        try:
            return str(keys[letter])
        except KeyError:
            known = " ".join(f"%{key}" for key in sorted(keys))
            raise ValueError(
                f"unknown expansion %{letter} in {template!r}: known are {known}; write %%{letter} for a literal"
            ) from None

    return re.sub(r"%(.)", replace, template)
