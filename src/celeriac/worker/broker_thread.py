"""The one thread that uses the worker's broker session: fetches, settles, keeps the lease alive, reconnects.

It knows deliveries, not tasks.  What it fetches goes to the coordinator's loop in batches; what the loop wants
settled comes back through queues.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from celeriac.broker.base import Relaying
from celeriac.control import revokes
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionLost, SessionRefused
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from celeriac.broker.base import Broker, BrokerSession, RelayAddress
    from celeriac.broker.topology import Queue
    from celeriac.message import Delivery
    from celeriac.typing import Headers

logger = logging.getLogger("celeriac.worker.consumer")

#: Deliveries taken in one fetch.
MAX_FETCH = 500
#: Acknowledgements that a broker may never have seen when a connection breaks: no more were under way.
MAX_IN_DOUBT = 1000
#: Seconds without anything to settle after which the session must put nothing off any longer.
FLUSH_AFTER = 0.005
#: Commands about what was relayed to the session.
_OF_RELAYS = ("adopt", "reclaim")
#: Seconds between attempts to reconnect: it doubles up to the last, with jitter.
FIRST_RETRY, LAST_RETRY = 0.1, 2.0


@dataclass(frozen=True)
class RelayTarget:
    """A session that messages are relayed to.

    Attributes:
        address: Where it takes them; None: it takes none.
        session: The session.
        session_id: Its number.
    """

    address: RelayAddress | None
    session: Relaying
    session_id: int


class BrokerListener(Protocol):
    """What the thread tells the coordinator; always called on its loop."""

    def on_connected(self, url: str) -> None: ...

    def on_relay_target(self) -> None: ...

    def on_revoked(self, ids: list[str], stamps: list[str]) -> None: ...

    def on_deliveries(self, deliveries: list[Delivery]) -> None: ...

    def on_connection_lost(self, session_id: int) -> None: ...

    def on_session_lost(self, session_id: int) -> None: ...

    def on_unsettled(self, verb: str, deliveries: list[Delivery]) -> None: ...

    def on_acks_in_doubt(self, headers: list[Headers]) -> None: ...

    def on_broker_refused(self, reason: str) -> None: ...


@dataclass(frozen=True)
class ConnectionPolicy:
    """When to try again.

    Attributes:
        retry: Reconnect after a loss (``broker_connection_retry``).
        retry_on_startup: Retry the first connection (``broker_connection_retry_on_startup``).
        max_retries: Attempts in a row; None is for ever (``broker_connection_max_retries``).
        heartbeat: Seconds between extensions of the lease.
    """

    retry: bool = True
    retry_on_startup: bool = True
    max_retries: int | None = 100
    heartbeat: float = 10.0


class BrokerThread:
    """Owner of the consuming session.

    The attributes ``limit`` and ``finished`` are written by the loop and read here; ``fetched``, ``trouble`` and
    ``losses`` the other way round.

    Args:
        broker: Where to connect.
        queues: What to consume.
        listener: The coordinator.
        loop: The coordinator's loop.
        policy: When to try again.

    Attributes:
        trouble: Why there is no session; None while there is one.
        losses: Sessions that broke.
        relays_to: The session that children relay to. It stays when that is lost, as the next one may continue it.
    """

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[Queue],
        listener: BrokerListener,
        loop: asyncio.AbstractEventLoop,
        policy: ConnectionPolicy,
    ) -> None:
        self._broker = broker
        self._queues = list(queues)
        self._listener = listener
        self._loop = loop
        self._policy = policy
        self._session: BrokerSession | None = None
        self._commands: deque[tuple[str, Any]] = deque()
        self._wanted = threading.Event()
        self._wanted_queues: list[Queue] | None = None
        self._notices: deque[tuple[str, Sequence[str], float]] = deque()
        # Headers of the messages acknowledged last, where the broker does not answer; their bodies need not stay.
        self._in_doubt: deque[Headers] = deque(maxlen=0 if broker.capabilities.answers_acks else MAX_IN_DOUBT)
        self._stopping = False
        self._fetching = True
        # The loop has to say when there is room again.
        self._waits_for_room = False
        self._soon: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self.limit = 0
        self.fetched = 0
        self.trouble: str | None = "not connected yet"
        self.losses = 0
        self.relays_to: RelayTarget | None = None
        self.finished = 0

    # -- called on the loop -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def post(self, verb: str, items: Any) -> None:
        """Queue a command.

        Args:
            verb: ``ack``, ``ack_early``, ``reject``, ``requeue``, ``release``, ``defer``, ``dead_letter``, ``adopt`` or
                ``reclaim``.
            items: What it is about.
        """
        self._commands.append((verb, items))

    def post_now(self, verb: str, item: Any) -> None:
        """Queue a command for one delivery and have it acted upon."""
        self._commands.append((verb, [item]))
        self.wake()

    @property
    def queue_names(self) -> list[str]:
        """What is consumed."""
        return [queue.name for queue in self._queues]

    def set_queues(self, queues: Sequence[Queue]) -> None:
        """Consume these queues instead; where the broker refuses, those before them go on."""
        self._wanted_queues = list(queues)
        self.wake()

    def keep_notices(self, topic: str, notices: Sequence[str], seconds: float) -> None:
        """Have the broker keep notices."""
        self._notices.append((topic, notices, seconds))
        self.wake()

    def wake(self) -> None:
        """Have the commands posted, and a raised limit, acted upon now."""
        self._wanted.set()
        session = self._session
        if session is not None:
            session.wake()

    def wake_soon(self) -> None:
        """Have what was posted acted upon with whatever comes next, or within `FLUSH_AFTER` seconds.

        It spares a change of threads for each message of a chain.  Brokers that send messages by themselves do so as
        others are acknowledged; with these it cannot wait.
        """
        if self._waits_for_room or not self._broker.capabilities.resumable:
            self.wake()
        elif self._soon is None:
            self._soon = self._loop.call_later(FLUSH_AFTER, self._wake_for_commands)

    def _wake_for_commands(self) -> None:
        self._soon = None
        if self._commands:
            self.wake()

    def quiesce(self) -> None:
        """Fetch no more; go on settling."""
        self._fetching = False
        self.wake()

    def stop(self) -> None:
        """Settle what was posted, release the rest and end; `join` waits for it."""
        self._stopping = True
        self.wake()

    def join(self, timeout: float) -> bool:
        """Wait for the end; False when it did not come in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        attempts = 0
        lost: BrokerSession | None = None
        connected_before = False
        while not self._stopping:
            try:
                session = self._open(lost)
            except SessionRefused as exc:
                if not connected_before:
                    self._tell(self._listener.on_broker_refused, str(exc))
                    return
                attempts = self._pause(attempts, exc)
            except OperationalError as exc:
                if not self._may_retry(attempts, connected_before):
                    self._tell(self._listener.on_broker_refused, str(exc))
                    return
                attempts = self._pause(attempts, exc)
            except Exception as exc:
                logger.critical("Cannot consume from %s", self._broker.url, exc_info=True)
                self._tell(self._listener.on_broker_refused, f"{type(exc).__name__}: {exc}")
                return
            else:
                if lost is not None and lost.session_id != session.session_id:
                    self._tell(self._listener.on_session_lost, lost.session_id)
                    self._tell(self._listener.on_acks_in_doubt, list(self._in_doubt))
                    self._in_doubt.clear()
                attempts, connected_before = 0, True
                lost = self._serve(session)

    def _open(self, lost: BrokerSession | None) -> BrokerSession:
        """A session that consumes; it continues a lost one where that is possible."""
        session = self._broker.connect(resume=lost)
        try:
            # Before the first message comes.
            self._learn_of_revokes(session)
            session.consume(self._queues)
        except BaseException:
            session.close()
            raise
        return session

    def _learn_of_revokes(self, session: BrokerSession) -> None:
        """Tell the loop what was revoked while this worker did not listen."""
        try:
            ids, stamps = session.notices(revokes.IDS), session.notices(revokes.STAMPS)
        except (SessionLost, SessionRefused):
            raise
        except OperationalError as exc:
            logger.warning("The broker does not tell which tasks were revoked before: %s", exc)
        else:
            if ids or stamps:
                self._tell(self._listener.on_revoked, ids, stamps)

    def _may_retry(self, attempts: int, connected_before: bool) -> bool:
        allowed = self._policy.retry if connected_before else self._policy.retry_on_startup
        limit = self._policy.max_retries
        return allowed and (not limit or attempts < limit)

    def _pause(self, attempts: int, exc: Exception) -> int:
        """Wait before the next attempt; returns how many there were."""
        interval = min(FIRST_RETRY * 2**attempts, LAST_RETRY) * random.uniform(0.7, 1.0)
        attempts += 1
        logger.error(
            "consumer: Cannot connect to %s: %s.\nTrying again in %.2f seconds... (%s/%s)\n",
            self._broker.url, exc, interval, attempts, self._policy.max_retries or "∞",
        )  # fmt: skip
        deadline = time.monotonic() + interval
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            self._wanted.wait(left)
            self._wanted.clear()
        return attempts

    def _serve(self, session: BrokerSession) -> BrokerSession | None:
        """Use one session until it breaks or the worker stops; returns it when it broke."""
        self._session, self.trouble = session, None
        self._tell(self._listener.on_connected, self._broker.url)
        self._address(session)
        try:
            self._consume(session)
        except Exception as exc:
            if not isinstance(exc, OperationalError):
                logger.critical("The session with %s failed", self._broker.url, exc_info=True)
            self.trouble, self.losses = f"{type(exc).__name__}: {exc}", self.losses + 1
            logger.warning(
                "consumer: Connection to broker lost. Trying to re-establish the connection... (%s: %s)",
                type(exc).__name__, exc,
            )  # fmt: skip
            if not self._broker.capabilities.resumable:
                # Others may have been given what this session held.
                self._tell(self._listener.on_connection_lost, session.session_id)
            return session
        else:
            return None
        finally:
            self._session = None
            session.close()

    def _address(self, session: BrokerSession) -> None:
        """Tell where messages can be relayed to from now on."""
        if isinstance(session, Relaying):
            self.relays_to = RelayTarget(session.relay_address(), session, session.session_id)
            self._tell(self._listener.on_relay_target)

    def _consume(self, session: BrokerSession) -> None:
        beat = time.monotonic() + self._policy.heartbeat
        watchdog = Watchdog(session, self._queues)
        while True:
            # Read first: what was posted before the stop, perhaps while others were being settled, is carried out.
            stopping = self._stopping
            # Cleared before the commands are read: a wake-up after that is seen by the next wait.
            self._wanted.clear()
            self._settle(session)
            self._keep_notices(session)
            if stopping:
                return
            self._change_queues(session)
            now = time.monotonic()
            if now >= beat:
                session.heartbeat()
                watchdog.check()
                beat = now + self._policy.heartbeat
            # Said before looking, so that whoever makes room afterwards knows.
            self._waits_for_room = True
            room = self.limit - (self.fetched - self.finished)
            if room > 0 and self._fetching:
                self._waits_for_room = False
                deliveries = session.fetch(limit=min(room, MAX_FETCH), wait=beat - now)
                if deliveries:
                    self.fetched += len(deliveries)
                    watchdog.progress()
                    self._tell(self._listener.on_deliveries, deliveries)
            else:
                watchdog.progress()
                if not self._wanted.wait(min(FLUSH_AFTER, beat - now)):
                    session.flush()
                    self._wanted.wait(beat - now)

    def _keep_notices(self, session: BrokerSession) -> None:
        while self._notices:
            topic, notices, seconds = self._notices[0]
            try:
                session.keep_notices(topic, notices, seconds=seconds)
            except SessionLost:
                raise
            except OperationalError as exc:
                logger.warning("The broker does not keep what was revoked: %s", exc)
            self._notices.popleft()

    def _change_queues(self, session: BrokerSession) -> None:
        wanted, self._wanted_queues = self._wanted_queues, None
        if wanted is None:
            return
        try:
            session.consume(wanted)
        except (SessionLost, SessionRefused):
            self._wanted_queues = wanted
            raise
        except (OperationalError, ImproperlyConfigured) as exc:
            logger.error("Cannot consume from %s: %s", ", ".join(queue.name for queue in wanted), exc)
            session.consume(self._queues)
        else:
            self._queues[:] = wanted
            self._address(session)

    def _settle(self, session: BrokerSession) -> None:
        """Carry out the posted commands, one batch for each verb.

        A command that a breaking connection cut short is posted again: the next session may continue this one, and
        running it twice changes nothing.  Only of an early acknowledgement nobody could tell then whether it is this
        one that succeeded: such a message is given back, if it is still held, and does not run here.  Commands for
        deliveries of a session that is gone go back to the loop.
        """
        commands = self._commands
        if not commands:
            return
        # First, whatever else is done with them.
        batches: dict[str, list[Any]] = {"adopt": []}
        for _ in range(len(commands)):
            verb, items = commands.popleft()
            batches.setdefault(verb, []).extend(items)
        ours = session.session_id
        try:
            for verb in list(batches):
                items = batches[verb]
                deliveries = [item[0] if isinstance(item, tuple) else item for item in items]
                gone = [each for each in deliveries if each.session_id != ours]
                current = items
                if gone:
                    current = [item for item, each in zip(items, deliveries, strict=True) if each.session_id == ours]
                if current and verb in _OF_RELAYS and isinstance(session, Relaying):
                    _carry_out_of_relay(session, verb, current)
                elif current:
                    self._carry_out(session, verb, current)
                del batches[verb]
                if gone:
                    self._tell(self._listener.on_unsettled, verb, gone)
        finally:
            if early := [delivery for delivery, _ in batches.pop("ack_early", ())]:
                self._tell(self._listener.on_unsettled, "ack_early", early)
                batches["release"] = [*batches.get("release", ()), *early]
            commands.extendleft(reversed(batches.items()))

    def _carry_out(self, session: BrokerSession, verb: str, items: list[Any]) -> None:
        if verb == "ack":
            session.ack_many(items)
            if self._in_doubt.maxlen:
                self._in_doubt.extend([item.message.headers for item in items])
        elif verb == "ack_early":
            session.ack_many([delivery for delivery, _ in items], confirm=True)
            self._tell(_call_all, [then for _, then in items])
        elif verb == "reject":
            session.reject_many(items)
        elif verb == "requeue":
            session.requeue_many(items)
        elif verb == "release":
            session.requeue_many(items, charge=False)
        elif verb == "defer":
            session.defer_many(items)
        elif verb == "dead_letter":
            session.dead_letter_many(items)
        else:
            raise ValueError(f"unknown command {verb!r}")

    def _tell(self, function: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: the worker is gone, and closing the session releases what it holds.
            self._stopping = True


class Watchdog:
    """Notices a session that claims nothing although messages wait, and declares it lost.

    Args:
        session: The session to watch.
        queues: Its queues; the list may change.
    """

    #: Checks in a row that find a backlog and no progress before the session is given up.
    PATIENCE = 2

    def __init__(self, session: BrokerSession, queues: list[Queue]) -> None:
        self._session = session
        self._queues = queues
        self._progressed = True
        self._stalled = 0
        self._rests = False

    def progress(self) -> None:
        """Something was claimed, or nothing was wanted."""
        self._progressed = True

    def check(self) -> None:
        """Raise `SessionLost` when the session is stuck; call at each heartbeat.

        After a look at empty queues it skips one: an idle worker asks its broker little.
        """
        names = [queue.name for queue in self._queues]
        if self._progressed or self._rests:
            self._stalled, self._rests = 0, False
        elif not any(self._session.depths(names).values()):
            self._stalled, self._rests = 0, True
        else:
            self._stalled += 1
            if self._stalled >= self.PATIENCE:
                raise SessionLost(
                    f"messages wait in {', '.join(names)} but the session has claimed none of them; reconnecting"
                )
        self._progressed = False


def _carry_out_of_relay(session: Relaying, verb: str, items: list[Any]) -> None:
    if verb == "adopt":
        session.adopt(items)
    else:
        for item in items:
            session.reclaim(item.prefix)


def _call_all(functions: list[Callable[[], None]]) -> None:
    for function in functions:
        function()
