"""Result stores that a test process starts for itself: memcached, and emulators of hosted services."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support import servers
from tests.support.chaosproxy import ChaosProxy
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
            wait_until(lambda: servers.answers("127.0.0.1", port), timeout=60, what=f"{command[0]} on port {port}")
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


def make_bucket(endpoint: str, name: str) -> None:
    """Make a bucket of an emulated S3."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=AWS_KEY,
        aws_secret_access_key=AWS_SECRET,
    )
    client.create_bucket(Bucket=name)
    client.close()
