"""A Redis Cluster of two primaries, one with a replica, for one test process."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.support import servers
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LAST_SLOT = 16383


@dataclass
class Nodes:
    """The nodes.

    Attributes:
        ports: Of the two primaries, which share the slots, and of the replica of the second.
    """

    ports: tuple[int, int, int]

    @property
    def url(self) -> str:
        """The result backend."""
        first, second, _ = self.ports
        return f"redis+cluster://127.0.0.1:{first};127.0.0.1:{second}"

    def on_each_primary(self, *command: Any) -> None:
        """Run a command on the primaries."""
        for port in self.ports[:2]:
            execute(port, *command)

    def move_slot(self, slot: int, source: int, target: int) -> Iterator[str]:
        """Give an empty slot to another node, by the steps of Redis; yields before each of them is over."""
        # Who takes a slot without knowing the latest epoch loses it to the next word of its former owner.
        wait_until(self._agree, what="the nodes agree on the epoch of the cluster")
        ids = {port: bytes(execute(port, "CLUSTER", "MYID")).decode() for port in (source, target)}
        execute(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        execute(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        yield "ASK"
        for key in execute(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000):
            execute(source, "MIGRATE", "127.0.0.1", target, key, 0, 5000)
        for port in (target, source):
            execute(port, "CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        yield "MOVED"

    def replace_second(self) -> None:
        """Make the replica a primary in place of the second, which ends."""
        _, second, replica = self.ports
        wait_until(lambda: execute(replica, "ROLE")[3] == b"connected", what="the replica follows its primary")
        before = execute(second, "ROLE")[1]
        wait_until(lambda: execute(replica, "ROLE")[4] >= before, what="the replica has every write")
        # Not a vote of the others, which takes its time.
        execute(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        wait_until(lambda: execute(replica, "ROLE")[0] == b"master", what="the replica is a primary")
        wait_until(lambda: self._serves(self.ports[0], replica), what="the first primary knows of the new one")

    def _agree(self) -> bool:
        infos = [bytes(execute(port, "CLUSTER", "INFO")).decode().split() for port in self.ports]
        return len({line for info in infos for line in info if line.startswith("cluster_current_epoch:")}) == 1

    def _serves(self, asked: int, port: int) -> bool:
        return any(primary[1] == port for _, _, primary, *_ in execute(asked, "CLUSTER", "SLOTS"))


def execute(port: int, *command: Any) -> Any:
    """Run one command on one node."""
    from celeriac.drivers.resp import RespConnection
    from celeriac.drivers.resp_params import RespParams

    connection = RespConnection(RespParams(host="127.0.0.1", port=port, connect_timeout=30.0, timeout=30.0))
    try:
        return connection.execute(*command)
    finally:
        connection.close()


def _is_whole(port: int) -> bool:
    info = bytes(execute(port, "CLUSTER", "INFO")).decode()
    return "cluster_state:ok" in info and "cluster_known_nodes:3" in info and "cluster_size:2" in info


@contextmanager
def private_cluster(directory: Path) -> Iterator[Nodes]:
    """Start it; yields when every node serves."""
    program = shutil.which("redis-server")
    if program is None:
        servers.unavailable("redis-server is not installed")
        return
    ports = (servers.free_port(), servers.free_port(), servers.free_port())
    bus_ports = {port: servers.free_port() for port in ports}
    with ExitStack() as stack:
        for port in ports:
            # fmt: off
            command = [
                program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no",
                "--dir", str(directory), "--cluster-enabled", "yes", "--cluster-port", str(bus_ports[port]),
                "--cluster-config-file", f"nodes-{port}.conf", "--repl-diskless-sync-delay", "0",
                # A busy machine is no reason to give a node up.
                "--cluster-node-timeout", "300000",
            ]
            # fmt: on
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            stack.callback(process.terminate)
            wait_until(partial(servers.answers, "127.0.0.1", port), what=f"Redis on port {port}")
            assert process.poll() is None, f"another server answers on port {port}"
        _join(ports, bus_ports)
        yield Nodes(ports)


def _join(ports: tuple[int, int, int], bus_ports: dict[int, int]) -> None:
    first, second, replica = ports
    half = _LAST_SLOT // 2
    execute(first, "CLUSTER", "ADDSLOTSRANGE", 0, half)
    execute(second, "CLUSTER", "ADDSLOTSRANGE", half + 1, _LAST_SLOT)
    for number, port in enumerate(ports):
        execute(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for port in (second, replica):
        execute(port, "CLUSTER", "MEET", "127.0.0.1", first, bus_ports[first])
    second_id = bytes(execute(second, "CLUSTER", "MYID")).decode()
    wait_until(lambda: second_id in bytes(execute(replica, "CLUSTER", "NODES")).decode(), what="the nodes know another")
    execute(replica, "CLUSTER", "REPLICATE", second_id)
    for port in ports:
        wait_until(partial(_is_whole, port), what=f"the cluster serves on port {port}")
    wait_until(lambda: execute(replica, "ROLE")[3] == b"connected", what="the replica follows its primary")
