"""How a queue is described to the harness: its environment, its configurations, its commands.

Adapters are data; the code that calls a queue's library is in `bench.apps`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WORK = "work"
CALL = "call"
SLEEP = "sleep"


@dataclass(frozen=True, slots=True)
class Variant:
    """One configuration of a peer.

    Attributes:
        name: What tables show after the peer's name.
        brokers: The brokers it is measured on.
        worker: Argument vector of the worker; ``{bin}`` stands for the environment's ``bin`` directory and
            ``{broker}`` for the broker's URL.
        copies: How many such commands run side by side.
        roles: ``work`` for runs with a worker, ``call`` for runs of a client alone, ``sleep`` for tasks that wait.
        env: Additional environment variables.
        extra: Measured only with ``--extra``.
    """

    name: str
    brokers: frozenset[str]
    worker: tuple[str, ...] = ()
    copies: int = 1
    roles: frozenset[str] = frozenset({WORK, CALL})
    env: Mapping[str, str] = field(default_factory=dict)
    extra: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """One queue.

    Attributes:
        name: Its package name; also the name of its environment.
        app: The module of `bench.apps` with its tasks.
        variants: Its configurations.
        guarantee: What happens to a task when its worker dies, for the tables.
        tasks: How many tasks a throughput run has, so that it lasts some seconds.
        stores_results: The brokers on which results can be stored.
        queues: RabbitMQ queues (and exchanges) to delete between runs.
        import_code: A program that imports the library and makes an app.
        first_call_code: A program that also enqueues one task on Redis (``{url}``), or None.
        memory_broker: Whether a worker can run inside the client's process.
        bulk: The brokers on which it has a bulk call.
        delays: Whether it can delay tasks.
        workflows: Whether its app has `bench.apps.workflows`.
        env: Environment variables for its workers and clients.
    """

    name: str
    app: str
    variants: tuple[Variant, ...]
    guarantee: str
    tasks: int
    stores_results: frozenset[str]
    import_code: str
    first_call_code: str | None = None
    queues: tuple[str, ...] = ()
    memory_broker: bool = False
    bulk: frozenset[str] = frozenset()
    delays: bool = True
    workflows: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    def chosen(self, broker: str, role: str, *, extra: bool) -> list[Variant]:
        """The configurations to measure in one role on one broker."""
        return [
            variant
            for variant in self.variants
            if broker in variant.brokers and role in variant.roles and (extra or not variant.extra)
        ]
