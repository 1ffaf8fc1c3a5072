"""Clients in programs that gevent or eventlet has patched: many greenlets call and wait at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.pool.fresh import PATCHES
from tests.support import PATIENCE, servers
from tests.support.worker import ROOT, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Must be as in `tests.support.greenlet_client`, which only a patched program imports.
CALLERS, CALLS = 40, 3


@pytest.fixture(scope="module", params=["redis", "amqp"])
def served(
    request: pytest.FixtureRequest, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Settings that a worker consumes by: everything on Redis, or everything on RabbitMQ."""
    name = servers.unique("client")
    with servers.rabbitmq_vhost(name) as vhost:
        url = f"{redis_server}/5"
        conf: dict[str, Any] = {"broker_url": url, "result_backend": url}
        if request.param == "amqp":
            conf = {"broker_url": vhost, "result_backend": "rpc://"}
        conf["task_default_queue"] = name
        # Forty connections at once are much for a busy server.
        conf["broker_publish_timeout"] = conf["broker_connection_timeout"] = PATIENCE
        workshop = Workshop(conf, tmp_path_factory.mktemp("client"))
        try:
            workshop.start()
            yield conf
        finally:
            workshop.close()


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_calls_and_results_of_many_greenlets_go_side_by_side(served: dict[str, Any], library: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", f"{PATCHES[library]}import tests.support.greenlet_client"],
        cwd=ROOT, env={**os.environ, "CELERIAC_TEST_CLIENT": json.dumps(served)},
        capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["found"] == [[number + n for n in range(CALLS)] for number in range(CALLERS)], ended.stderr
    assert told["sessions"] == CALLERS
    assert "RuntimeError" not in ended.stderr
