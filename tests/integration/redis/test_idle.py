"""What a worker asks of Redis while there is nothing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.drivers.resp import RespConnection
from celeriac.drivers.resp_params import params_from_url
from tests.support import PATIENCE, servers, wait_until
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds; the worker extends its lease three times as often.
LEASE = 6.0


def calls(server: RespConnection) -> dict[str, int]:
    """How often each command was called, by scripts too."""
    text = server.execute("INFO", "commandstats").decode()
    lines = [line.removeprefix("cmdstat_").split(":calls=") for line in text.splitlines() if ":calls=" in line]
    return {name: int(rest.partition(",")[0]) for name, rest in lines if name != "info"}


def beaten(server: RespConnection, since: dict[str, int], times: int) -> dict[str, int]:
    """The calls, once there were so many more heartbeats; until then nothing."""
    now = calls(server)
    return now if now.get("zscore", 0) >= since.get("zscore", 0) + times else {}


def test_an_idle_worker_asks_little(tmp_path: Path) -> None:
    """Twenty workers with leases of 30 seconds, 40 commands a second: that is 20 for each heartbeat."""
    with servers.private_redis(tmp_path) as address:
        url = f"{address}/0"
        shop = Workshop({"broker_url": url, "result_backend": url, "broker_lease": LEASE}, tmp_path)
        server = RespConnection(params_from_url(url, connect_timeout=PATIENCE, timeout=PATIENCE))
        try:
            worker = shop.start(concurrency=1)
            # An idle session looks whether it is alive in its heartbeats only, and before its first claim.
            start = calls(server)
            before = wait_until(lambda: beaten(server, start, 2), what="the start is over")
            after = wait_until(lambda: beaten(server, before, 4), what="four heartbeats")
            assert worker.alive
            assert "Connection to broker lost" not in worker.log
        finally:
            server.close()
            shop.close()
    asked = {name: count - before.get(name, 0) for name, count in after.items()}
    beats = asked["zscore"]
    assert sum(asked.values()) <= 13 * beats, asked
    # Nothing is claimed in vain: the server tells of new messages.
    assert asked.get("exists", 0) <= beats, asked
