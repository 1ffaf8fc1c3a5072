"""A broker in a Redis Cluster: its slot moves, its node ends, and a worker is told what to do."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from celeriac.broker import Broker, BrokerOptions, Queue, open_broker
from celeriac.drivers.resp_cluster import slot_of
from celeriac.exceptions import ImproperlyConfigured, SessionLost
from tests.integration.redis.conftest import publication
from tests.support import PATIENCE, wait_until
from tests.support.cluster import Nodes, private_cluster
from tests.support.worker import workshops

if TYPE_CHECKING:
    from pathlib import Path

    from celeriac.broker import BrokerSession
    from celeriac.message import Delivery

_HALF = 8191


def _broker(nodes: Nodes, prefix: str, lease: float = 4 * PATIENCE) -> Broker:
    return open_broker(nodes.url, BrokerOptions(lease=lease, transport_options={"global_keyprefix": prefix}))


def _prefix_of_second_primary(name: str) -> str:
    return next(f"{name}{number}" for number in range(1000) if slot_of(f"{name}{number}") > _HALF)


def _fetch(session: BrokerSession, count: int) -> list[Delivery]:
    found: list[Delivery] = []

    def is_complete() -> bool:
        found.extend(session.fetch(limit=count, wait=0.1))
        return len(found) >= count

    wait_until(is_complete, what="the messages")
    return found


def _reconnect(broker: Broker, lost: BrokerSession, queue: Queue) -> BrokerSession:
    with pytest.raises(SessionLost):
        wait_until(lambda: lost.heartbeat(), what="the old node refuses")
    session = broker.connect(resume=lost)
    lost.close()
    session.consume([queue])
    return session


def test_keys_of_one_prefix_are_in_one_slot(redis_cluster: Nodes, unique_name: str) -> None:
    with closing(_broker(redis_cluster, unique_name).connect()) as session:
        session.publish_many([publication(Queue("one")), publication(Queue("two"))])
        assert session.depths(["one", "two"]) == {"one": 1, "two": 1}
    with closing(_broker(redis_cluster, f"app{{{unique_name}}}").connect()) as session:
        session.publish_many([publication(Queue("one"))])
        assert session.depths(["one", "two"]) == {"one": 1, "two": 0}


def test_a_database_of_a_cluster_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="names the database 1, but Redis Cluster has 0 only"):
        open_broker("redis+cluster://127.0.0.1:6379/1")


def test_a_session_follows_its_slot_and_keeps_what_it_holds(redis_cluster: Nodes, unique_name: str) -> None:
    prefix, queue = _prefix_of_second_primary(unique_name), Queue("q")
    first, second, _ = redis_cluster.ports
    broker = _broker(redis_cluster, prefix)
    session = broker.connect()
    session.consume([queue])
    session.publish_many([publication(queue) for _ in range(6)])
    held = _fetch(session, 3)
    for _ in redis_cluster.move_slot(slot_of(prefix), second, first):
        pass
    followed = _reconnect(broker, session, queue)
    assert followed.session_id == session.session_id
    followed.ack_many(held, confirm=True)
    followed.ack_many(_fetch(followed, 3), confirm=True)
    assert followed.depths([queue.name]) == {queue.name: 0}
    followed.close()


def test_a_session_goes_on_with_the_replica_of_a_node_that_ends(tmp_path: Path) -> None:
    with private_cluster(tmp_path) as nodes:
        prefix, queue = _prefix_of_second_primary("failover"), Queue("q")
        broker = _broker(nodes, prefix)
        session = broker.connect()
        session.consume([queue])
        session.publish_many([publication(queue) for _ in range(6)])
        held = _fetch(session, 3)
        nodes.replace_second()
        followed = _reconnect(broker, session, queue)
        followed.ack_many([*held, *_fetch(followed, 3)], confirm=True)
        assert followed.depths([queue.name]) == {queue.name: 0}
        followed.close()


def test_a_worker_runs_tasks_and_hears_commands(redis_cluster: Nodes, unique_name: str, tmp_path: Path) -> None:
    conf = {
        "broker_url": redis_cluster.url,
        "broker_transport_options": {"global_keyprefix": unique_name},
        "result_backend": redis_cluster.url,
        "result_backend_transport_options": {"global_keyprefix": unique_name},
    }
    with workshops(tmp_path) as make:
        shop = make(conf)
        worker = shop.start(hostname="w@cluster")
        control = shop.app.control
        assert control.ping(timeout=PATIENCE) == [{"w@cluster": {"ok": "pong"}}]
        assert shop.task("add").delay(2, 3).get(timeout=PATIENCE) == 5
        delayed = shop.task("add").apply_async((2, 3), countdown=4 * PATIENCE)
        delayed.revoke()
        wait_until(lambda: control.inspect(timeout=PATIENCE).revoked() == {"w@cluster": [delayed.id]}, what="revoked")
        assert worker.stop() == 0
