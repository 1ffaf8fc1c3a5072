from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.app.publisher import Publisher, RetryPolicy
from celeriac.app.sessions import FailoverBroker, Sessions
from celeriac.exceptions import ImproperlyConfigured, OperationalError, PublishTimeout, SessionLost, SessionRefused
from celeriac.message import Destination, Message, Publication
from tests.support import SLACK

if TYPE_CHECKING:
    from collections.abc import Sequence

PUBLICATION = Publication(Message(b"", "application/json", "utf-8", {}, {}), Destination("", "celery"))


class FakeSession:
    def __init__(self, outcomes: list[Exception | None]) -> None:
        self.session_id = 0
        self.outcomes = outcomes
        self.published: list[Publication] = []
        self.timeouts: list[float | None] = []
        self.closed = False

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        self.timeouts.append(timeout)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        self.published.extend(items)

    def close(self) -> None:
        self.closed = True


class FakeBroker:
    capabilities: Any = None
    url = "fake://"

    def __init__(self, *sessions: FakeSession | Exception) -> None:
        self.sessions = list(sessions)
        self.connects = 0
        self.timeouts: list[float | None] = []

    def connect(self, *, timeout: float | None = None, resume: Any = None) -> Any:
        self.connects += 1
        self.timeouts.append(timeout)
        session = self.sessions[0] if len(self.sessions) == 1 else self.sessions.pop(0)
        if isinstance(session, Exception):
            raise session
        return session


def publisher(broker: Any, *, timeout: float = 5.0, policy: RetryPolicy | None = None) -> Publisher:
    return Publisher(Sessions(lambda: broker), timeout, policy)


QUICK = RetryPolicy(interval_step=0.001)


def test_a_session_is_kept() -> None:
    broker = FakeBroker(session := FakeSession([]))
    subject = publisher(broker)
    subject.publish(PUBLICATION)
    subject.publish(PUBLICATION)
    assert (broker.connects, len(session.published)) == (1, 2)


def test_a_lost_session_is_replaced_and_the_publish_repeated() -> None:
    lost, fresh = FakeSession([SessionLost("gone")]), FakeSession([])
    broker = FakeBroker(lost, fresh)
    publisher(broker, policy=QUICK).publish(PUBLICATION)
    assert lost.closed
    assert fresh.published == [PUBLICATION]


def test_without_a_policy_the_first_error_is_the_last() -> None:
    broker = FakeBroker(FakeSession([SessionLost("gone")]))
    with pytest.raises(SessionLost):
        publisher(broker).publish(PUBLICATION)
    assert broker.connects == 1


def test_retry_false_overrides_the_policy() -> None:
    broker = FakeBroker(FakeSession([SessionLost("gone")]))
    with pytest.raises(SessionLost):
        publisher(broker, policy=QUICK).publish(PUBLICATION, retry=False)


def test_retries_are_counted() -> None:
    broker = FakeBroker(OperationalError("down"))
    with pytest.raises(OperationalError, match="down"):
        publisher(broker, policy=RetryPolicy(max_retries=2, interval_step=0.0)).publish(PUBLICATION)
    assert broker.connects == 3


def test_a_down_broker_raises_within_the_deadline_every_time() -> None:
    subject = publisher(
        FakeBroker(OperationalError("down")), timeout=0.1, policy=RetryPolicy(max_retries=None, interval_step=0.02)
    )
    for _ in range(3):
        started = time.monotonic()
        with pytest.raises(OperationalError):
            subject.publish(PUBLICATION)
        assert time.monotonic() - started < 0.1 + SLACK


def test_the_deadline_names_the_last_error() -> None:
    subject = publisher(
        FakeBroker(OperationalError("no route")), timeout=0.02, policy=RetryPolicy(max_retries=None, interval_start=1)
    )
    with pytest.raises(PublishTimeout, match="no route"):
        subject.publish(PUBLICATION)


def test_every_attempt_gets_what_is_left_of_the_time() -> None:
    session = FakeSession([OperationalError("busy"), None])
    broker = FakeBroker(session)
    publisher(broker, policy=RetryPolicy(interval_start=0.05)).publish(PUBLICATION, timeout=2.0)
    first, second = session.timeouts
    assert first is not None
    assert second is not None
    assert first <= 2.0
    assert second < first


@pytest.mark.parametrize("error", [SessionRefused("password"), PublishTimeout("late")])
def test_refusals_and_timeouts_are_not_repeated(error: Exception) -> None:
    broker = FakeBroker(FakeSession([error]))
    with pytest.raises(type(error)):
        publisher(broker, policy=QUICK).publish(PUBLICATION)
    assert broker.connects == 1


def test_retry_errors_are_repeated_too() -> None:
    session = FakeSession([LookupError("odd"), None])
    policy = {"retry_errors": (LookupError,), "interval_step": 0}
    publisher(FakeBroker(session), policy=QUICK).publish(PUBLICATION, retry_policy=policy)
    assert session.published == [PUBLICATION]


def test_other_errors_pass_through() -> None:
    with pytest.raises(LookupError):
        publisher(FakeBroker(FakeSession([LookupError("odd")])), policy=QUICK).publish(PUBLICATION)


def test_unknown_policy_keys_are_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="max_retry"):
        RetryPolicy.from_mapping({"max_retry": 1})


def test_pauses_grow_up_to_a_limit() -> None:
    policy = RetryPolicy(max_retries=4, interval_start=0, interval_step=0.2, interval_max=0.3)
    assert [policy.pause(n) for n in range(5)] == [0, 0.2, 0.3, 0.3, None]


def test_failover_uses_the_first_broker_that_answers() -> None:
    down, up = FakeBroker(OperationalError("down")), FakeBroker(FakeSession([]))
    broker = FailoverBroker([down, up])
    broker.connect(timeout=1.0)
    broker.connect(timeout=1.0)
    assert (down.connects, up.connects) == (1, 2)
    assert down.timeouts == [pytest.approx(0.5, abs=0.1)]


def test_failover_raises_when_all_are_down() -> None:
    brokers = [FakeBroker(OperationalError(f"down {n}")) for n in range(2)]
    with pytest.raises(OperationalError, match="down 1"):
        FailoverBroker(brokers).connect(timeout=1.0)


def test_unknown_failover_strategies_are_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="dice"):
        FailoverBroker([FakeBroker(), FakeBroker()], "dice")


def test_several_urls_make_a_failover_broker() -> None:
    app = Celery(broker="memory://a;memory://b", set_as_current=False)
    assert isinstance(app.broker, FailoverBroker)
    assert app.broker.url == "memory://a"


def test_sessions_are_per_thread_and_replaced_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    from celeriac.app import process

    parent, child = FakeSession([]), FakeSession([])
    sessions = Sessions(lambda: FakeBroker(parent, child) if not parent.published else FakeBroker(child))
    sessions.get().publish_many([PUBLICATION])
    monkeypatch.setattr(process.current, "generation", process.current.generation + 1)
    session: Any = sessions.get()
    assert session is child
    assert not parent.closed


@pytest.mark.parametrize(("count", "relayed"), [(0, 0), (1, 1), (2, 0)])
def test_single_messages_may_be_relayed(count: int, relayed: int) -> None:
    session = FakeSession([])
    taken: list[Publication] = []

    def relay(session: Any, item: Publication, timeout: float) -> bool:
        taken.append(item)
        return len(taken) == 1

    publishing = publisher(FakeBroker(session))
    publishing.relay = relay
    for total in (count - relayed, 2 * count - relayed):
        publishing.publish_many([PUBLICATION] * count)
        assert len(session.published) == total
    assert len(taken) == 2 * relayed
