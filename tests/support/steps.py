"""Bootsteps for workers under test: they write into the ledger what happens to them."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import click

from celeriac import bootsteps
from celeriac.broker import Exchange, Queue
from celeriac.exceptions import WorkerShutdown
from celeriac.messaging import Consumer
from tests.support.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac import Celery
    from celeriac.messaging import Message


class Agent:
    """An agent: it writes into the file that the environment names.

    Args:
        connection: To the broker.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._ledger = Ledger(os.environ["AGENT"])

    def start(self) -> None:
        self._ledger.write("agent start", connected=self._connection.connected)

    def stop(self) -> None:
        self._ledger.write("agent stop")


#: Where `Parcels` gets its messages.
PARCELS = Queue("parcels", Exchange("parcels"), "parcels")


def install(app: Celery, ledger: Ledger, *, broken: bool = False) -> None:  # noqa: C901 - a list of declarations
    """Add steps to a worker and its consumer, and an option for them.

    Args:
        app: The application.
        ledger: The ledger.
        broken: One of them cannot start.
    """
    app.user_options["worker"].add(click.Option(["--canary"], default="none"))

    class Watch(bootsteps.StartStopStep):
        """Uses what a worker offers."""

        requires: ClassVar[Iterable[Any]] = ("celery.worker.components:Timer", "celery.worker.components:Pool")

        def __init__(self, worker: Any, canary: str = "", **options: Any) -> None:
            ledger.write("step init", canary=canary, concurrency=options["concurrency"])

        def create(self, worker: Any) -> None:
            ledger.write("step create", hostname=worker.hostname)

        def start(self, worker: Any) -> None:
            info = worker.pool.info
            ledger.write("step start", thread=threading.current_thread().name, processes=info["processes"])
            worker.timer.call_after(0.0, ledger.write, ("timer",))
            worker.pool.grow()
            ledger.write("step grown", size=worker.pool.num_processes)

        def close(self, worker: Any) -> None:
            ledger.write("step close")

        def stop(self, worker: Any) -> None:
            ledger.write("step stop", ended=ledger.count("end"))

        def info(self, worker: Any) -> dict[str, Any]:
            return {"watch": "on"}

    class After(bootsteps.StartStopStep):
        """Is stopped when the pool has ended."""

        def stop(self, worker: Any) -> None:
            ledger.write("after stop", ended=ledger.count("end"))

    class Broken(bootsteps.StartStopStep):
        """Cannot start."""

        enabled = broken

        def start(self, worker: Any) -> None:
            raise RuntimeError("no cellar")

    class Parcels(bootsteps.ConsumerStep):
        """Messages of its own."""

        requires: ClassVar[Iterable[Any]] = ("celery.worker.consumer.connection:Connection",)

        def start(self, c: Any) -> None:
            super().start(c)
            ledger.write("consumer start", restarts=c.restart_count)

        def stop(self, c: Any) -> None:
            ledger.write("consumer stop")
            super().stop(c)

        def get_consumers(self, channel: Any) -> list[Consumer]:
            return [Consumer(channel, queues=[PARCELS], callbacks=[self.on_parcel], accept=["json"])]

        def on_parcel(self, body: Any, message: Message) -> None:
            ledger.write("parcel", body=body, redelivered=message.delivery_info["redelivered"])
            if body == "leave":
                message.ack()
                raise WorkerShutdown(3)
            if body == "sleep":
                path = os.environ["GATE"]
                while not os.path.exists(path):  # noqa: PTH110 - a step that blocks
                    time.sleep(0.01)
            if body == "raise":
                raise RuntimeError("a broken parcel")
            message.ack()

    class Helper(bootsteps.StartStopStep):
        """Uses what a consumer offers."""

        requires: ClassVar[Iterable[Any]] = ("celery.worker.consumer:Tasks",)

        def start(self, c: Any) -> None:
            c.add_task_queue(f"{c.app.conf.task_default_queue}-more")
            c.qos.increment_eventually(1)
            c.event_dispatcher.send("worker-helped")
            ledger.write(
                "helper", controller=c.controller.hostname, limits={k: v and v.rate for k, v in c.task_buckets.items()}
            )

    app.steps["worker"].update({Watch, After, Broken})
    app.steps["consumer"].update({Parcels, Helper})
