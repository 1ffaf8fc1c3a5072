"""Result stores that a test process starts for itself: memcached, and emulators of hosted services."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support import servers
from tests.support.chaosproxy import ChaosProxy
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: Bytes of the largest value that the memcached of the tests keeps.
LARGEST_ITEM = "8m"
#: Emulators take any credentials, but clients insist on some.
AWS_KEY, AWS_SECRET = "testing", "testing"


@contextmanager
def private_memcached() -> Iterator[int]:
    """A memcached of its own; yields its port."""
    program = shutil.which("memcached")
    if program is None:
        servers.unavailable("memcached is not installed; `scripts/servers install` does it, as root")
        return
    port = servers.free_port()
    user = ["-u", "root"] if os.geteuid() == 0 else []
    with _process([program, "-l", "127.0.0.1", "-p", str(port), "-I", LARGEST_ITEM, *user], port):
        yield port


@contextmanager
def private_moto() -> Iterator[int]:
    """moto, which emulates AWS, in a process of its own; yields its port."""
    port = servers.free_port()
    with _process([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        yield port


@contextmanager
def _process(command: Sequence[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: servers.answers("127.0.0.1", port), what=f"{command[0]} on port {port}")
            yield
        finally:
            process.terminate()


@contextmanager
def behind_proxy(port: int) -> Iterator[ChaosProxy]:
    """A proxy in front of a server, which ends connections on demand."""
    proxy = ChaosProxy("127.0.0.1", port)
    try:
        yield proxy
    finally:
        proxy.close()


def aws_client(service: str, endpoint: str) -> Any:
    """A client of an emulated service."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=AWS_KEY,
        aws_secret_access_key=AWS_SECRET,
    )


def make_bucket(endpoint: str, name: str) -> None:
    """Make a bucket of an emulated S3."""
    client = aws_client("s3", endpoint)
    client.create_bucket(Bucket=name)
    client.close()


def mongomock_client() -> Any:
    """An emulated MongoDB in this process."""
    import mongomock
    from mongomock import collection

    builder: Any = collection.BulkOperationBuilder
    add_replace = builder.add_replace

    def add(self: Any, *args: Any, sort: object = None, **kwargs: Any) -> None:
        # An argument of later releases of pymongo than the emulator knows.
        assert sort is None
        add_replace(self, *args, **kwargs)

    if "sort" not in inspect.signature(add_replace).parameters:
        builder.add_replace = add
    client: Any = mongomock
    return client.MongoClient()


def configure_django() -> None:
    """Django's settings for this process."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(CACHES={"default": {}}, DATABASES={"default": {}}, USE_TZ=True)
        django.setup()


def configure_django_cache(memcached: str) -> None:
    """Let Django's default cache be a memcached."""
    configure_django()
    from django.core.cache import caches

    backend = "django.core.cache.backends.memcached.PyMemcacheCache"
    caches.settings["default"] = {"BACKEND": backend, "LOCATION": memcached}


def configure_django_database(path: Path) -> str:
    """A database of Django in an SQLite file; returns its alias."""
    configure_django()
    from django.db import connections

    alias, engine = servers.unique(), "django.db.backends.sqlite3"
    connections.databases[alias] = {"ENGINE": engine, "NAME": str(path), "OPTIONS": {"timeout": 10}}
    connections.configure_settings(connections.databases)
    return alias


def drop_django_database(alias: str) -> None:
    """Undo it."""
    from django.db import connections

    connections[alias].close()
    del connections.databases[alias]
