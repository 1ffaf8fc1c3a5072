"""Messages that RabbitMQ takes once: whoever dies, stands still or comes at the same time."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker.amqp.once import REMEMBERED, Baton, OncePublisher, queue_name
from celeriac.drivers.amqp import Channel, ConnectionLost
from celeriac.exceptions import OperationalError, Superseded
from celeriac.message import Destination, Once, Publication
from celeriac.testing.contracts.broker_subject import new_message, new_queue
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.broker import Broker
    from celeriac.broker.base import BrokerSession
    from celeriac.testing.contracts.broker_subject import BrokerUnderTest


class Site:
    """A queue, and who publishes to it once."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.queue, self.scope = new_queue(), new_queue().name
        self.sessions: list[BrokerSession] = []
        self.reader = self.session()
        self.reader.declare([self.queue])

    def session(self) -> BrokerSession:
        session = self.broker.connect()
        self.sessions.append(session)
        return session

    def publish(self, session: BrokerSession, place: str, token: int = 1, queue: Any = None) -> None:
        to = queue or self.queue
        item = Publication(new_message(place.encode()), Destination("", to.name, to), mandatory=True)
        item.once = Once(self.scope, token, "s", place)
        session.publish_many([item])

    def found(self, count: int) -> list[str]:
        """What is in the queue, when so many are."""
        wait_until(lambda: self.reader.depths([self.queue.name])[self.queue.name] >= count, what=f"{count} messages")
        self.reader.consume([self.queue])
        bodies: list[str] = []
        while more := self.reader.fetch(limit=100, wait=0.2):
            bodies += [each.message.body.decode() for each in more]
            self.reader.ack_many(more)
        return bodies

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        with closing(self.broker.connect()) as session:
            name = queue_name(self.scope)
            control = session._link.control(time.monotonic() + 10)  # type: ignore[attr-defined]
            for each in (name, f"{name}.made", self.queue.name):
                control.queue_delete(each)


@pytest.fixture
def site(subject: BrokerUnderTest) -> Iterator[Site]:
    with closing(Site(subject.broker())) as site:
        yield site


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_dies_at_the_commit_has_published_all_or_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    first, second = site.session(), site.session()
    site.publish(first, "one")
    plain = Channel.tx_commit

    def dying(channel: Channel, **options: Any) -> None:
        monkeypatch.setattr(Channel, "tx_commit", plain)
        if moment == "after":
            plain(channel, **options)
        first._link.connection.abort()  # type: ignore[attr-defined]
        raise ConnectionLost("died")

    monkeypatch.setattr(Channel, "tx_commit", dying)
    with pytest.raises(OperationalError):
        site.publish(first, "two")
    # Whoever leads next sends it again, not knowing.
    site.publish(second, "two", token=2)
    site.publish(second, "three", token=2)
    assert site.found(3) == ["one", "two", "three"]


def test_who_stands_still_amid_it_sends_nothing_after_another(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = site.session(), site.session()
    site.publish(first, "one")
    plain = OncePublisher._take
    tried: list[str] = []

    def stopped(publisher: OncePublisher, *args: Any) -> Any:
        """As if this process went on only when another has long taken over."""
        monkeypatch.setattr(OncePublisher, "_take", plain)
        site.publish(second, "two", token=2)
        tried.append("two")
        return plain(publisher, *args)

    monkeypatch.setattr(OncePublisher, "_take", stopped)
    site.publish(first, "two", token=1)
    with pytest.raises(Superseded):
        site.publish(first, "three", token=1)
    assert tried
    assert site.found(2) == ["one", "two"]


def test_who_stands_still_with_the_baton_keeps_others_waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = site.session(), site.session()
    site.publish(first, "one")
    plain = OncePublisher._commit
    refused: list[str] = []

    def stopped(publisher: OncePublisher, *args: Any) -> None:
        monkeypatch.setattr(OncePublisher, "_commit", plain)
        with pytest.raises(OperationalError, match="held by another") as error:
            site.publish(second, "two", token=2)
        refused.append(str(error.value))
        plain(publisher, *args)

    monkeypatch.setattr(OncePublisher, "_commit", stopped)
    site.publish(first, "two", token=1)
    assert refused
    site.publish(second, "two", token=2)
    site.publish(second, "three", token=2)
    assert site.found(3) == ["one", "two", "three"]


def test_a_queue_that_was_deleted_loses_nothing(site: Site) -> None:
    session = site.session()
    site.publish(session, "one")
    site.reader._link.control(time.monotonic() + 10).queue_delete(site.queue.name)  # type: ignore[attr-defined]
    with pytest.raises(OperationalError, match="cannot route"):
        site.publish(session, "two")
    site.publish(session, "two")
    site.publish(session, "two")
    assert site.found(1) == ["two"]


def test_the_making_of_a_baton_that_was_cut_short_is_finished_by_the_next(site: Site) -> None:
    control = site.reader._link.control(time.monotonic() + 10)  # type: ignore[attr-defined]
    control.queue_declare(queue_name(site.scope), arguments={"x-expires": 30 * 86400 * 1000})
    site.publish(site.session(), "one")
    site.publish(site.session(), "one")
    assert site.found(1) == ["one"]


def test_one_makes_the_baton_and_others_wait(site: Site) -> None:
    control = site.reader._link.control(time.monotonic() + 10)  # type: ignore[attr-defined]
    lock = f"{queue_name(site.scope)}.lock"
    control.queue_declare(lock, exclusive=True, durable=False)
    session = site.session()
    with pytest.raises(OperationalError, match="about to make"):
        site.publish(session, "one")
    control.queue_delete(lock)
    site.publish(session, "one")
    assert site.found(1) == ["one"]


def test_a_purged_baton_says_what_to_do(site: Site) -> None:
    session = site.session()
    site.publish(session, "one")
    name = queue_name(site.scope)
    site.reader.purge(name)
    with pytest.raises(OperationalError, match="delete the queues"):
        site.publish(session, "two")
    for each in (name, f"{name}.made"):
        site.reader._link.control(time.monotonic() + 10).queue_delete(each)  # type: ignore[attr-defined]
    site.publish(session, "two")
    assert site.found(2) == ["one", "two"]


def test_a_baton_remembers_so_many() -> None:
    baton = Baton(0, b"")
    taken = [Once("x", 7, "s", str(number)) for number in range(REMEMBERED + 1)]
    for once in taken:
        baton = Baton.load(baton.after(once).dump())
    assert [baton.has(taken[0]), baton.has(taken[1]), baton.has(taken[-1])] == [False, True, True]
    assert baton.token == 7
