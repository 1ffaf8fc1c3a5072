"""Results as messages to the client that made the call, by the AMQP broker: ``rpc://``.

A result can be read by the process that sent its task only, and once.  There are no groups to save and no chords.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.backend.base import BackendCapabilities, BackendOptions, ResultRecord
from celeriac.backend.chordless import WithoutChords
from celeriac.backend.codec import ResultCodec
from celeriac.backend.rpc_replies import Reply, ReplyQueue
from celeriac.backend.watching import WatchedResults
from celeriac.drivers.amqp.errors import AMQPError, ConnectionRefused, OperationTimeout
from celeriac.drivers.amqp.faults import as_connect_failure, as_operational
from celeriac.drivers.amqp.link import Link
from celeriac.drivers.amqp.params import params_from_url
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError
from celeriac.serialization.compression import compress, decompress
from celeriac.serialization.serializers import registry
from celeriac.utils.dataclass import replace
from celeriac.utils.url import redact, split_failover

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from celeriac.backend.base import ResultWatch
    from celeriac.drivers.amqp import OutgoingMessage
    from celeriac.drivers.amqp.params import AMQPParams

CAPABILITIES = BackendCapabilities(name="rpc", persistent=False, groups=False, chords=False)

_AMQP_SCHEMES = ("amqp", "amqps", "librabbitmq", "pyamqp")
#: Seconds a reply queue lives without its client; the client that comes back meanwhile finds its results there.
_QUEUE_LIFETIME = 300.0
#: Messages in one write.
_PAGE = 1000
#: Seconds before a waiting client tries again to reach a broker that is away.
_RETRY_INTERVAL = 0.2
#: Replies to take away in one go during a long wait.
_GIVEN_AT_ONCE = 100
#: Options of the broker that these connections share.
_SHARED_OPTIONS = ("channel_max", "client_properties", "confirm_publish", "frame_max")


class RPCBackend(WithoutChords, WatchedResults):
    """Results as messages.

    Args:
        url: ``rpc://`` uses the broker of the app; ``rpc://user:password@host:port/vhost`` another one.
        options: Settings common to all backends.  The broker's URL is ``transport_options["broker_url"]`` or the
            setting ``broker_url``.

    Raises:
        ImproperlyConfigured: The broker is none that speaks AMQP.
    """

    def __init__(self, url: str, options: BackendOptions | None = None) -> None:
        self._options = options = options or BackendOptions()
        self.url = redact(url)
        self.capabilities = CAPABILITIES
        settings = options.settings
        self._servers = _servers(url, options, "broker_read_url")
        self._store_servers = _servers(url, options, "broker_write_url")
        confirm = self._store_servers[0].confirm_publish
        self._confirm = settings.get("broker_confirm_publish") is not False if confirm is None else confirm
        # Compression is said in a header, as it is for every message, and not in the body as in stores.
        self._codec = ResultCodec(replace(options, compression=None))
        self._serializer = registry.by_name(options.serializer)
        self._codecs: dict[str, ResultCodec] = {self._serializer.content_type: self._codec}
        self._inherited: list[_Process] = []
        self._process = self._new_process()

    def _new_process(self) -> _Process:
        return _Process(self._connect, self._connect_to_store, self._options.timeout, self._merge)

    def _mine(self) -> _Process:
        """What belongs to this process; a child made by fork leaves its parent's connections alone."""
        process = self._process
        if process.pid != os.getpid():
            # Kept: dropping it could speak on a connection that belongs to the parent.
            self._inherited.append(process)
            process = self._process = self._new_process()
        return process

    # --- connecting

    def _connect(self, deadline: float) -> Link:
        return _open_first(self._servers, deadline)

    def _connect_to_store(self, deadline: float) -> Link:
        return _open_first(self._store_servers, deadline)

    # --- storing

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        """Send records to those who wait for them; nobody waits for one without `ResultRecord.reply_to`."""
        messages = [self._message(record) for record in records if record.reply_to]
        process = self._mine()
        with process.store_lock:
            for start in range(0, len(messages), _PAGE):
                self._send(process, messages[start : start + _PAGE])

    def _message(self, record: ResultRecord) -> OutgoingMessage:
        options = self._options
        body, headers = self._codec.encode(record), None
        if options.compression is not None:
            body, compression = compress(body, options.compression)
            headers = {"compression": compression}
        expires = options.expires
        if record.status == states.FAILURE and options.failure_expires is not None:
            expires = options.failure_expires
        properties = {
            "content_type": self._serializer.content_type,
            "content_encoding": self._serializer.content_encoding,
            "delivery_mode": 2 if options.persistent else 1,
            "correlation_id": record.correlation_id or record.task_id,
            "expiration": str(int(expires * 1000)) if expires else None,
        }
        return ("", record.reply_to or "", body, properties, headers, False)

    def _send(self, process: _Process, messages: Sequence[OutgoingMessage]) -> None:
        deadline = time.monotonic() + self._options.timeout
        had_link = process.has_store_link
        try:
            refused = process.store_link(deadline).publish((messages,), deadline, confirm=self._confirm)
        except AMQPError as error:
            process.drop_store_link()
            if not had_link or isinstance(error, OperationTimeout):
                raise as_operational(error) from error
            # To send a result twice does no harm.
            self._send(process, messages)
            return
        if refused:
            position, refusal = refused[0]
            task_id = messages[position][3]["correlation_id"]
            raise BackendStoreError(
                f"the broker refused {len(refused)} results, that of task {task_id} first: {refusal.reply_text}",
                task_id=task_id,
            )

    # --- reading

    def expect(self, task_ids: Sequence[str]) -> str | None:
        replies = self._mine().replies
        replies.prepare()
        return replies.name

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        replies = self._mine().replies
        if task_ids:
            replies.poll()
        found: dict[str, ResultRecord] = {}
        for task_id in task_ids:
            reply = replies.get(task_id)
            if reply is not None:
                found[task_id] = self._decode(reply)
        return found

    def open_watch(self) -> RPCWatch:
        return RPCWatch(self._mine(), self._decode, self._options.timeout)

    def not_yielded(self, watch: ResultWatch, records: Collection[ResultRecord]) -> None:
        watch.add([record.task_id for record in records])

    def _decode(self, reply: Reply) -> ResultRecord:
        codec = self._codecs.get(reply.content_type)
        if codec is None:
            options = replace(self._options, serializer=reply.content_type, compression=None)
            codec = self._codecs[reply.content_type] = ResultCodec(options)
        body = reply.body if reply.compression is None else decompress(reply.body, reply.compression)
        return codec.decode(body, reply.task_id)

    def _merge(self, earlier: Reply, later: Reply) -> Reply:
        return earlier if self._decode(earlier).status == states.SUCCESS else later

    def forget_many(self, task_ids: Sequence[str]) -> None:
        replies = self._mine().replies
        for task_id in task_ids:
            replies.discard(task_id)

    # --- what messages cannot do

    def save_group(self, group_id: str, result: Any) -> None:
        raise _not_kept(f"group {group_id} cannot be saved")

    def load_group(self, group_id: str) -> Any | None:
        raise _not_kept(f"group {group_id} cannot be restored")

    def delete_group(self, group_id: str) -> None:
        raise _not_kept(f"group {group_id} cannot be deleted")

    def sweep(self) -> int:
        """Delete nothing: the server drops messages that expired."""
        return 0

    def close(self) -> None:
        self._mine().close()


_FOREVER = 1e9


class _Process:
    """What a backend has in one process."""

    def __init__(self, connect: Any, connect_to_store: Any, timeout: float, merge: Any) -> None:
        self.pid = os.getpid()
        self.store_lock = threading.Lock()
        self._waiting: Counter[str] = Counter()
        self._waiting_lock = threading.Lock()
        self._connect_to_store = connect_to_store
        self._store_link: Link | None = None
        self.replies = ReplyQueue(connect, expires=_QUEUE_LIFETIME, timeout=timeout, merge=merge)

    @property
    def has_store_link(self) -> bool:
        """There is a connection already, which may have been lost meanwhile."""
        return self._store_link is not None

    def store_link(self, deadline: float) -> Link:
        """The connection to send results on."""
        link = self._store_link
        if link is not None and (link.connection.closed or link.was_lost_while_idle()):
            self.drop_store_link()
            link = None
        if link is None:
            link = self._store_link = self._connect_to_store(deadline)
        return link

    def drop_store_link(self) -> None:
        link, self._store_link = self._store_link, None
        if link is not None:
            link.close()

    def joined(self, task_ids: Iterable[str]) -> None:
        """A thread begins to wait."""
        with self._waiting_lock:
            self._waiting.update(list(task_ids))

    def taken(self, task_id: str) -> None:
        """A waiting thread has got its result; the last one takes it away."""
        if self.left(task_id):
            self.replies.discard(task_id)

    def left(self, task_id: str) -> bool:
        """A thread waits no longer; returns whether it was the last."""
        with self._waiting_lock:
            self._waiting[task_id] -= 1
            if self._waiting[task_id] > 0:
                return False
            del self._waiting[task_id]
            return True

    def close(self) -> None:
        with self.store_lock:
            self.drop_store_link()
        self.replies.close()


class RPCWatch:
    """A `ResultWatch` on the queue of replies of a process.

    Args:
        process: Whose queue it is.
        decode: Reads a reply.
        patience: Seconds to try to reach a broker that is away.
    """

    def __init__(self, process: _Process, decode: Callable[[Reply], ResultRecord], patience: float) -> None:
        self._process = process
        self._decode = decode
        self._patience = patience
        self._pending: dict[str, None] = {}
        self._told: deque[str] = deque()
        #: Given to the caller, and kept until it discards them: others may have begun to wait meanwhile.
        self._given: dict[str, None] = {}
        self._woken = False

    def add(self, task_ids: Collection[str]) -> None:
        again = [task_id for task_id in dict.fromkeys(task_ids) if task_id in self._given]
        for task_id in again:
            del self._given[task_id]
            self._pending[task_id] = None
        self._told.extend(again)
        new = [task_id for task_id in dict.fromkeys(task_ids) if task_id not in self._pending]
        self._pending.update(dict.fromkeys(new))
        self._process.joined(new)
        self._process.replies.tell(new, self._told)

    def discard(self, task_ids: Collection[str]) -> None:
        known = [task_id for task_id in dict.fromkeys(task_ids) if task_id in self._pending]
        self._process.replies.tell_no_more(known, self._told)
        for task_id in known:
            del self._pending[task_id]
            self._process.left(task_id)
        self._take_away([task_id for task_id in dict.fromkeys(task_ids) if task_id in self._given])

    def _take_away(self, task_ids: Collection[str]) -> None:
        self._process.replies.tell_no_more(task_ids, self._told)
        for task_id in task_ids:
            del self._given[task_id]
            self._process.taken(task_id)

    def wait(self, timeout: float | None) -> list[ResultRecord]:
        deadline = time.monotonic() + (_FOREVER if timeout is None else timeout)
        lost_at: float | None = None
        while True:
            # Before looking at what came: `wake` and replies that come from now on end the wait below.
            arrivals = self._process.replies.arrivals
            ready = self._take()
            left = deadline - time.monotonic()
            if self._woken:
                # Set to False only where it was seen: a `wake` between look and change must not be lost.
                self._woken = False
                return ready
            if ready or not self._pending or left <= 0:
                return ready
            try:
                self._process.replies.wait(arrivals, left)
                lost_at = None
            except OperationalError:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > self._patience:
                    raise
                time.sleep(min(_RETRY_INTERVAL, left))

    def _take(self) -> list[ResultRecord]:
        """Records that have come since."""
        if len(self._given) >= _GIVEN_AT_ONCE:
            self._take_away(list(self._given))
        ready = []
        for _ in range(len(self._told)):
            task_id = self._told.popleft()
            reply = self._process.replies.get(task_id) if task_id in self._pending else None
            if reply is None:
                continue
            record = self._decode(reply)
            if record.status in states.READY_STATES:
                ready.append(record)
                del self._pending[task_id]
                self._given[task_id] = None
        return ready

    def wake(self) -> None:
        # The flag comes first: it is looked at before every wait.
        self._woken = True
        self._process.replies.wake()

    def close(self) -> None:
        self.discard([*self._pending, *self._given])


def _servers(url: str, options: BackendOptions, preferred: str) -> list[AMQPParams]:
    settings = options.settings
    own = url.removeprefix("rpc").removeprefix("://")
    broker_url = (
        f"amqp://{own}"
        if own
        else options.transport_options.get("broker_url") or settings.get(preferred) or settings.get("broker_url")
    )
    if not broker_url:
        raise ImproperlyConfigured(
            "result_backend is rpc://, which sends results through an AMQP broker, but broker_url is not set"
        )
    return [_params(each, settings) for each in split_failover(broker_url)]


def _params(url: str, settings: Mapping[str, Any]) -> AMQPParams:
    scheme = url.partition("://")[0]
    if scheme not in _AMQP_SCHEMES:
        raise ImproperlyConfigured(
            f"result_backend is rpc://, which sends results through an AMQP broker, but broker_url is {redact(url)!r}; "
            f"use a broker_url that begins with amqp:// or another result_backend, such as {scheme}://"
        )
    transport = settings.get("broker_transport_options") or {}
    return params_from_url(
        url,
        tls=settings.get("broker_use_ssl") or False,
        options={key: transport[key] for key in _SHARED_OPTIONS if key in transport},
        login_method=settings.get("broker_login_method"),
        # Nobody would send heartbeats between two results, and the server would take the client for dead.
        heartbeat=0.0,
    )


def _open_first(servers: Sequence[AMQPParams], deadline: float) -> Link:
    """A connection to the first server that can be reached; each gets an equal part of the time that is left."""
    for left in range(len(servers), 0, -1):
        params = servers[len(servers) - left]
        link = Link(params)
        now = time.monotonic()
        try:
            link.connect(now + max(deadline - now, 0.001) / left)
        except AMQPError as error:
            if left == 1 or not isinstance(error, ConnectionRefused):
                raise as_connect_failure(error, params.address) from error
        else:
            return link
    raise ImproperlyConfigured("broker_url holds no URL")


def _not_kept(what: str) -> NotImplementedError:
    return NotImplementedError(
        f"{what}: result_backend rpc:// keeps no results but sends them; use a store such as redis:// for groups "
        "that are restored and for chords"
    )
