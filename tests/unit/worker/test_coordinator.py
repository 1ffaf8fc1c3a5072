"""What the coordinator tells the broker thread, with a pool that is always busy and a broker thread that only notes."""

from __future__ import annotations

import asyncio
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from celeriac import Celery
from celeriac.events.publisher import EventPublisher
from celeriac.message import Delivery, Message
from celeriac.pool.base import Slot
from celeriac.worker.broker_thread import RelayTarget
from celeriac.worker.coordinator import Coordinator, CoordinatorOptions
from celeriac.worker.intake import Intake
from celeriac.worker.reporting import EventOptions, EventReporter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest


class BusyPool:
    """Two slots that take nothing."""

    def __init__(self) -> None:
        self.slots = [Slot(1), Slot(2)]

    async def start(self, listener: object) -> None:
        pass

    async def stop(self, *, timeout: float) -> None:
        pass

    def recall(self, slot: Slot) -> list[int]:
        return []


class NotedBroker:
    """A broker thread that plays a scenario when it is started, and notes what is posted to it."""

    def __init__(self, coordinator: Coordinator, scenario: Callable[[NotedBroker, Coordinator], None]) -> None:
        self.limit = self.finished = 0
        self.relays_to: RelayTarget | None = None
        self.posted: list[tuple[str, int]] = []
        self._coordinator, self._scenario = coordinator, scenario

    def start(self) -> None:
        self._scenario(self, self._coordinator)

    def post(self, verb: str, items: Sequence[Any]) -> None:
        if items:
            self.posted.append((verb, len(items)))

    def post_now(self, verb: str, item: Any) -> None:
        self.post(verb, [item])

    def wake(self) -> None:
        pass

    quiesce = stop = wake

    def join(self, timeout: float) -> bool:
        return True


def play(scenario: Callable[[NotedBroker, Coordinator], None], *, rate_limit: str | None = None) -> None:
    """Run a coordinator of an app with the task ``add`` through a scenario."""
    app = Celery("unit", broker="memory://")
    app.task(name="add", rate_limit=rate_limit)(lambda x, y: x + y)
    app.finalize()

    def whole(broker: NotedBroker, coordinator: Coordinator) -> None:
        scenario(broker, coordinator)
        coordinator.request_stop(signal.SIGTERM)

    coordinator = Coordinator(
        CoordinatorOptions("unit@host", prefetch_max_bytes=1 << 20),
        BusyPool(),  # type: ignore[arg-type]
        Intake(app),
        lambda listener, loop: NotedBroker(listener, whole),  # type: ignore[arg-type, return-value]
        lambda loop: SimpleNamespace(stop=lambda: None, watch_chords=lambda interval: None),  # type: ignore[arg-type, return-value]
        EventReporter(EventOptions("unit@host", heartbeat_interval=0.0), EventPublisher(app, "unit@host"), app.clock),
        None,
        lambda: None,
    )
    asyncio.run(coordinator.run())


def deliveries(count: int, *, body: bytes = b"[[], {}, {}]", **headers: Any) -> list[Delivery]:
    return [
        Delivery(
            Message(body, "application/json", "utf-8", {"task": "add", "id": f"{number}"} | headers, {}), "q", number, 1
        )
        for number in range(count)
    ]


class HoldingSession:
    """A session that reads what was relayed to it."""

    def read_relayed(self, queue: str, tag: str, envelope: bytes) -> Delivery:
        return deliveries(1, body=envelope)[0]


def relay_here(broker: NotedBroker) -> None:
    broker.relays_to = RelayTarget(("token", ("q",)), HoldingSession(), 1)  # type: ignore[arg-type]


def test_what_a_child_relays_is_held_beside_what_was_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    def scenario(broker: NotedBroker, coordinator: Coordinator) -> None:
        relay_here(broker)
        coordinator.on_relayed(("token", "q", "relayed-1", b"[[], {}, {}]"))
        assert (broker.posted, broker.finished, coordinator.held) == ([("adopt", 1)], -1, 1)

    play(scenario)


def test_what_a_child_relays_behind_others_goes_back(capsys: pytest.CaptureFixture[str]) -> None:
    def scenario(broker: NotedBroker, coordinator: Coordinator) -> None:
        relay_here(broker)
        coordinator.on_deliveries(deliveries(3))
        coordinator.on_relayed(("token", "q", "relayed-1", b"[[], {}, {}]"))
        assert (broker.posted, broker.finished, coordinator.held) == ([("adopt", 1), ("release", 1)], 0, 3)

    play(scenario)


def test_what_was_relayed_to_a_lost_session_is_not_taken_in(capsys: pytest.CaptureFixture[str]) -> None:
    def scenario(broker: NotedBroker, coordinator: Coordinator) -> None:
        coordinator.on_relayed(("token", "q", "relayed-1", b"[[], {}, {}]"))
        relay_here(broker)
        coordinator.on_relayed(("another", "q", "relayed-1", b"[[], {}, {}]"))
        assert (broker.posted, broker.finished, coordinator.held) == ([], 0, 0)

    play(scenario)


def test_what_may_have_been_relayed_is_reclaimed(capsys: pytest.CaptureFixture[str]) -> None:
    def scenario(broker: NotedBroker, coordinator: Coordinator) -> None:
        relay_here(broker)
        coordinator.on_relayed(("token", "q", "relayed-1", b""))
        coordinator.on_relay_broken(4711)
        assert (broker.posted, broker.finished) == ([("reclaim", 1), ("reclaim", 1)], 0)

    play(scenario)


FAR = "2999-01-01T00:00:00+00:00"


def test_messages_of_a_foreign_producer_are_parked_a_batch_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    def scenario(broker: NotedBroker, coordinator: Coordinator) -> None:
        taken = 0
        while taken < 2000:
            size = min(broker.limit, 500)
            taken += size
            coordinator.on_deliveries(deliveries(size, eta=FAR))
            assert broker.posted[-1] == ("defer", size)
        assert broker.finished == taken
        assert len(broker.posted) < 12

    play(scenario)


def test_message_that_is_held_is_logged_as_received(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "celeriac")

    def scenario(broker: NotedBroker, coordinator: Coordinator) -> None:
        coordinator.on_deliveries(deliveries(3))

    play(scenario, rate_limit="1/h")
    assert [record.getMessage() for record in caplog.records if "received" in record.getMessage()] == [
        "Task add[0] received", "Task add[1] received", "Task add[2] received",
    ]  # fmt: skip


def test_what_was_claimed_too_much_goes_back(capsys: pytest.CaptureFixture[str]) -> None:
    def scenario(broker: NotedBroker, coordinator: Coordinator) -> None:
        for _ in range(6):
            coordinator.on_deliveries(deliveries(broker.limit, eta=FAR))
        assert broker.limit > 100
        before = broker.finished
        coordinator.on_deliveries(deliveries(100))
        assert broker.limit == 8
        assert broker.posted[-1] == ("release", 92)
        assert broker.finished - before == 92

    play(scenario)


def test_large_messages_go_back_beyond_their_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    def scenario(broker: NotedBroker, coordinator: Coordinator) -> None:
        coordinator.on_deliveries(deliveries(8, body=bytes(1 << 18)))
        assert broker.limit == 4
        assert broker.posted == [("release", 4)]

    play(scenario)
