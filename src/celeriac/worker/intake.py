"""From a delivery to a verdict: run it, hold it, give it back to the broker, or set it aside.

It reads headers only; the payload stays bytes until the child decodes it.  Acting on a verdict is the coordinator's.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ImproperlyConfigured, InvalidTaskError, SerializationError
from celeriac.execution.job import Job
from celeriac.protocol import normalize
from celeriac.utils.dataclass import dataclass
from celeriac.utils.time import parse_iso8601, rate
from celeriac.worker.holding import TokenBucket
from celeriac.worker.ledger import Entry
from celeriac.worker.revoked import RevokedTasks

if TYPE_CHECKING:
    from celeriac.current import AppLike
    from celeriac.message import Delivery
    from celeriac.worker.succeeded import SucceededTasks

#: Seconds of an ETA that the worker waits out itself; more is the broker's, plus its resolution.
MAX_HOLD = 1.0
#: Unix time of the year 10000, beyond which there are no dates.
_LAST_MOMENT = 253_402_300_800.0


class Verdict(Enum):
    """What is to happen with a delivery."""

    RUN = "run"
    HOLD = "hold"
    DEFER = "defer"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    INVALID = "invalid"
    EXHAUSTED = "exhausted"
    SUCCEEDED = "succeeded"


@dataclass
class Judged:
    """A delivery with its verdict.

    Attributes:
        verdict: What to do.
        entry: Set when it will run: RUN, HOLD.
        until: HOLD: monotonic time it is due; DEFER: Unix time.
        reason: Why it is set aside.
    """

    verdict: Verdict
    entry: Entry | None = None
    until: float = 0.0
    reason: str = ""


class Intake:
    """Judge of deliveries.

    Args:
        app: The application.
        delay_resolution: Seconds of precision of delays kept by the broker.
        time_limit: Hard limit in seconds for tasks that have none of their own.
        soft_time_limit: Ditto, soft.
        rate_limits: Apply rate limits (``worker_disable_rate_limits`` turns them off).
        deduplicate: Remember what succeeded, and do not run that again (``worker_deduplicate_successful_tasks``).

    Attributes:
        revoked: What must not run.
        succeeded: What succeeded here; None where that is not remembered.
        time_limit, soft_time_limit: As given.
    """

    def __init__(
        self,
        app: AppLike,
        *,
        delay_resolution: float = 0.0,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        rate_limits: bool = True,
        deduplicate: bool = False,
    ) -> None:
        self.app = self._app = app
        self._tasks = app.tasks
        self._max_hold = MAX_HOLD + delay_resolution
        self.time_limit, self.soft_time_limit = time_limit, soft_time_limit
        self._rate_limits = rate_limits
        self._buckets: dict[str, TokenBucket | None] = {}
        self._seq = count(1)
        self.revoked = RevokedTasks()
        self.succeeded: SucceededTasks | None = None
        if deduplicate:
            # Most workers remember nothing of the kind.
            from celeriac.worker.succeeded import SucceededTasks

            self.succeeded = SucceededTasks()

    def task(self, name: object) -> Any:
        """A task by name; None if there is none."""
        return self._tasks.get(name) if isinstance(name, str) else None

    def judge(self, delivery: Delivery) -> Judged:
        """Decide. Never raises for what a message contains."""
        if delivery.malformed is not None:
            return Judged(Verdict.INVALID, reason=delivery.malformed)
        try:
            headers = delivery.message.headers
            if "task" not in headers:
                delivery.message = normalize(delivery.message, self._app.serializers, self._app.accept_content)
                headers = delivery.message.headers
            name = headers["task"]
            if not isinstance(name, str):
                raise InvalidTaskError(f"the header task is {name!r}, not the name of a task")
            task = self._tasks.get(name)
            if task is None:
                return Judged(Verdict.UNKNOWN, reason=f"Received unregistered task of type {name!r}")
            return self._judge_task(delivery, headers, task.plan)
        except (InvalidTaskError, SerializationError, ImproperlyConfigured) as exc:
            return Judged(Verdict.INVALID, reason=f"{type(exc).__name__}: {exc}")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
            return Judged(Verdict.INVALID, reason=f"malformed headers: {type(exc).__name__}: {exc}")

    def _judge_task(self, delivery: Delivery, headers: dict[str, Any], plan: Any) -> Judged:
        if plan.max_deliveries is not None and delivery.deliveries > plan.max_deliveries:
            reason = f"delivered {delivery.deliveries} times, task_max_deliveries is {plan.max_deliveries}"
            return Judged(Verdict.EXHAUSTED, reason=reason)
        if discarded := self.discarded(headers):
            return discarded
        if self.succeeded and delivery.redelivered and plan.acks_late and headers.get("id") in self.succeeded:
            return Judged(Verdict.SUCCEEDED, reason="already completed successfully")
        entry = self._entry(delivery, headers, plan)
        eta = headers.get("eta")
        if eta is not None:
            due = _timestamp("eta", eta)
            wait = due - time.time()
            if wait > self._max_hold:
                return Judged(Verdict.DEFER, until=due)
            if wait > 0:
                return Judged(Verdict.HOLD, entry, time.monotonic() + wait)
        if plan.rate_limit and self._rate_limits:
            return self._limit(entry, plan)
        return Judged(Verdict.RUN, entry)

    def discarded(self, headers: dict[str, Any]) -> Judged | None:
        """The verdict on a message that was revoked, or is too late; asked again after it was held."""
        revoked = self.revoked
        if (revoked.ids or revoked.stamps) and revoked.covers(headers):
            return Judged(Verdict.REVOKED, reason="revoked")
        expires = headers.get("expires")
        if expires is None or _timestamp("expires", expires) > time.time():
            return None
        return Judged(Verdict.EXPIRED, reason=f"expired at {expires}")

    def _entry(self, delivery: Delivery, headers: dict[str, Any], plan: Any) -> Entry:
        task_id = headers["id"]
        if not isinstance(task_id, str):
            raise InvalidTaskError(f"the id of task {headers['task']!r} is {task_id!r}, not text")
        for name in ("root_id", "parent_id", "group"):
            value = headers.get(name)
            if not (value is None or isinstance(value, str)):
                raise InvalidTaskError(f"the header {name} is {value!r}, not the id of a task")
        message = delivery.message
        properties = message.properties
        limits = headers.get("timelimit")
        # The usual form, in which nothing has to be checked.
        unlimited = not limits or limits == [None, None]
        hard, soft = (None, None) if unlimited else _checked_limits(limits)
        retries = headers.get("retries")
        if not (retries is None or isinstance(retries, int)):
            raise InvalidTaskError(f"the header retries is {retries!r}, not a number of retries")
        hard = hard or plan.time_limit or self.time_limit
        soft = soft or plan.soft_time_limit or self.soft_time_limit
        job = Job(
            next(self._seq),
            headers,
            properties,
            message.body,
            message.content_type,
            message.content_encoding,
            {
                "exchange": delivery.exchange,
                "routing_key": delivery.routing_key,
                "priority": properties.get("priority"),
                "redelivered": delivery.redelivered,
            },
            soft,
            hard,
            # One that may have ended a process before begins only after its predecessors are reported.
            bool(soft or hard or delivery.redelivered),
        )
        if delivery.relayed and plan.acks_late:
            job.tag = delivery.tag
        return Entry(job.seq, delivery, plan, job, task_id, plan.acks_late)

    def _limit(self, entry: Entry, plan: Any) -> Judged:
        """Hold an entry until its rate limit has a token."""
        at = self.next_turn(entry)
        return Judged(Verdict.RUN, entry) if at is None else Judged(Verdict.HOLD, entry, at)

    def next_turn(self, entry: Entry) -> float | None:
        """Take the next token of an entry's rate limit; returns the monotonic time of it, None if that is now."""
        now = time.monotonic()
        bucket = self.bucket(entry.plan.name, entry.plan.rate_limit)
        at = bucket.reserve(now) if bucket is not None else now
        entry.rate_limited = at > now
        return at if entry.rate_limited else None

    def bucket(self, name: str, rate_limit: Any) -> TokenBucket | None:
        """The bucket of a task's rate limit; None is no limit."""
        bucket = self._buckets.get(name)
        per_second = rate(rate_limit)
        if bucket is None or bucket.rate != per_second:
            bucket = self._buckets[name] = TokenBucket(per_second, time.monotonic()) if per_second else None
        return bucket

    def reset_rate_limits(self) -> None:
        """Count anew how often every task begins."""
        self._buckets.clear()

    def reset_rate_limit(self, name: str) -> None:
        """Count anew how often a task begins."""
        self._buckets.pop(name, None)


def _checked_limits(limits: Any) -> tuple[float | None, float | None]:
    """Hard and soft limit of the header ``timelimit``."""
    if isinstance(limits, list | tuple) and len(limits) == 2 and all(map(_is_limit, limits)):
        return limits[0], limits[1]
    raise InvalidTaskError(f"the header timelimit is {limits!r}, not [hard, soft] in seconds")


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and 0 <= value < _LAST_MOMENT)


def _timestamp(header: str, value: Any) -> float:
    """Unix time of a header: ISO-8601 text (naive means UTC), or a datetime that a codec already made of it."""
    if isinstance(value, int | float):
        moment = float(value)
    elif isinstance(value, str):
        moment = _unix_time(parse_iso8601(value))
    elif isinstance(value, datetime):
        moment = _unix_time(value)
    else:
        raise InvalidTaskError(f"the header {header} is {value!r}, not a time")
    if not moment < _LAST_MOMENT:
        raise InvalidTaskError(f"the header {header} is {value!r}, after the year 9999")
    return moment


def _unix_time(moment: datetime) -> float:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
