"""One task, start to finish: decode, enter, call, classify, follow up, record, leave.

The same steps serve a worker's child, the solo pool and eager mode.  How jobs arrive and where outcomes go is the
pool's business; when a message is acknowledged is the worker's.

The order around the result is Celery's: links and the next task of a chain go out before the result is stored
(better twice than never), errbacks and handlers after it (they may read it); the parts of chords are recorded after
their result, and before the message is acknowledged.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from celeriac import signals, states
from celeriac.backend.base import ResultRecord
from celeriac.backend.from_request import record_of
from celeriac.current import Context, pop_task, push_task
from celeriac.exceptions import (
    ImproperlyConfigured,
    InvalidTaskError,
    NotRegistered,
    Reject,
    Retry,
    SerializationError,
)
from celeriac.execution import chords, follow_up, tracing
from celeriac.execution.calling import Execution, call, classify
from celeriac.execution.handlers import describe_end, ending_events, handle, leave, log_outcome, needs_stored_result
from celeriac.execution.job import CANCELLED, FAILED, IGNORED, REFUSED, REJECTED, REQUEUED, RETRIED, SUCCEEDED, Outcome
from celeriac.execution.patience import patiently
from celeriac.execution.results import store_records
from celeriac.message import Message
from celeriac.protocol import decode_payload
from celeriac.serialization.einfo import ExceptionInfo
from celeriac.utils.dataclass import dataclass
from celeriac.utils.time import utcnow_iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.current import AppLike
    from celeriac.execution.job import Job
    from celeriac.execution.results import ResultBuffer

logger = logging.getLogger("celeriac.app.trace")

#: Kinds of outcome after which a task does not come again.
_ENDS = (SUCCEEDED, FAILED, REJECTED)
#: What a payload that cannot be run raises; ImproperlyConfigured is a serializer whose package is not installed.
UNREADABLE = (SerializationError, InvalidTaskError, NotRegistered, ImproperlyConfigured)


@dataclass
class EagerOutcome:
    """What an eager call gives back."""

    state: str
    retval: Any
    traceback: str | None
    einfo: ExceptionInfo | None


class Executor:
    """Runs jobs of one process.

    Args:
        app: The application.
        hostname: Node name of the worker.
        results: Takes records on their way to the backend.
    """

    def __init__(self, app: AppLike, hostname: str, results: ResultBuffer) -> None:
        self.app = app
        self.hostname = hostname
        self.results = results
        self._tasks = app.tasks
        self._extended = bool(app.conf.result_extended)
        self._deduplicates = bool(app.conf.worker_deduplicate_successful_tasks)

    def execute(self, job: Job, call: Callable[[Execution], None] = call) -> Outcome:
        """Run one job; its record goes to the result buffer. Never raises an `Exception`.

        Args:
            job: The job.
            call: Calls the task's own code, and classifies how it ended; one that was cancelled leaves no record.
        """
        try:
            run = self.enter(job)
        except UNREADABLE as exc:
            return self.refuse(job, exc)
        if self.has_to_ask(job) and not self.may_begin(job):
            return Outcome(job.seq, IGNORED, 0.0)
        if run.events:
            self.started(run)
        if tracing.seek is None:
            self._perform(run, call)
        else:
            tracing.perform(run, lambda: self._perform(run, call))
        return self.outcome(run)

    def _perform(self, run: Execution, call: Callable[[Execution], None]) -> Execution:
        """All of a run that can have something around it."""
        token = push_task(run.task, run.request)
        try:
            self.begin(run)
            call(run)
            if run.kind == CANCELLED:
                logger.warning("Task %s[%s] was cancelled", run.task.name, run.request.id)
            else:
                self.finish(run)
        except Exception as exc:
            self.note_internal_error(run, exc)
            raise
        finally:
            pop_task(token)
        return run

    def note_internal_error(self, run: Execution, exc: Exception) -> None:
        """Say that what surrounds a task's own code failed; its process ends by it, and its message is kept."""
        logger.critical("Task %s[%s]: an internal error", run.task.name, run.request.id, exc_info=True)
        if signals.task_internal_error.receivers:
            signals.task_internal_error.send(
                sender=run.task, task_id=run.request.id, args=run.args, kwargs=run.kwargs, request=run.request,
                exception=exc, traceback=exc.__traceback__, einfo=ExceptionInfo.from_exception(exc),
            )  # fmt: skip

    def started(self, run: Execution) -> None:
        """Tell those who listen to events that a task begins."""
        self.results.event("task-started", run.request.id)

    def outcome(self, run: Execution) -> Outcome:
        """What to report of a run that has ended, to those who listen to events too."""
        if run.events:
            for type_, fields in ending_events(run):
                self.results.event(type_, fields)
        return Outcome(run.seq, run.kind, run.runtime, None if run.kind == SUCCEEDED else describe_end(run))

    def has_to_ask(self, job: Job) -> bool:
        """Whether it may begin is in the result store: `may_begin` has to be called."""
        return chords.ONCE in job.headers or (self._deduplicates and bool(job.delivery_info.get("redelivered")))

    def may_begin(self, job: Job) -> bool:
        """A task that runs once has not begun before, nor has another one succeeded; asks the result store."""
        return patiently(
            lambda: (
                not self._has_succeeded(job)
                and chords.may_begin(self.app, job.headers, redelivered=bool(job.delivery_info.get("redelivered")))
            ),
            f"ask {self.app.backend.url} whether task {job.headers.get('id')} may begin",
        )

    def _has_succeeded(self, job: Job) -> bool:
        """The message was delivered again although its task has succeeded (``worker_deduplicate_successful_tasks``)."""
        name, task_id = job.headers["task"], job.headers["id"]
        task = self._tasks.get(name)
        if not (self._deduplicates and job.delivery_info.get("redelivered") and task and task.plan.acks_late):
            return False
        stored = task.backend.load_many([task_id]).get(task_id)
        if stored is None or stored.status != states.SUCCESS:
            return False
        logger.info("Task %s[%s] already completed successfully.", name, task_id)
        return True

    def enter(self, job: Job) -> Execution:
        """Decode the payload and build the request.

        Raises:
            SerializationError, InvalidTaskError, NotRegistered, ImproperlyConfigured: It cannot be run (`UNREADABLE`).
        """
        headers = job.headers
        try:
            task = self._tasks[headers["task"]]
        except KeyError:
            raise NotRegistered(headers.get("task")) from None
        args, kwargs, embed = decode_payload(
            job.body,
            job.content_type,
            job.content_encoding,
            headers,
            self.app.serializers,
            self.app.accept_content,
        )
        request = Context()
        fields = request.__dict__
        fields.update(headers)
        fields.update(
            args=args,
            kwargs=kwargs,
            callbacks=embed.get("callbacks"),
            errbacks=embed.get("errbacks"),
            chain=embed.get("chain"),
            chord=embed.get("chord"),
            called_directly=False,
            is_eager=False,
            hostname=self.hostname,
            properties=job.properties,
            delivery_info=job.delivery_info,
            correlation_id=job.properties.get("correlation_id"),
            reply_to=job.properties.get("reply_to"),
            headers=None if headers.keys() <= STANDARD_HEADERS else custom_headers(headers),
            _before_retry=self.store_retry,
        )
        return Execution(
            task, request, args, kwargs, seq=job.seq, soft_limit=job.soft_limit, began_at=job.began_at,
            events=job.events,
        )  # fmt: skip

    def refuse(self, job: Job, exc: Exception) -> Outcome:
        """A payload that cannot be decoded: the worker sets the message aside with this reason."""
        logger.error("Task %s[%s] cannot run: %s", job.headers.get("task"), job.headers.get("id"), exc)
        return Outcome(job.seq, REFUSED, 0.0, f"{type(exc).__name__}: {exc}")

    def fail(self, job: Job, exc: BaseException) -> None:
        """Record a failure that was decided outside of the task: its process died, or was killed at a limit.

        The handlers and errbacks run here, as nobody is left in the child to run them.
        """
        try:
            run = self.enter(job)
        except UNREADABLE as why:
            logger.error("Task %s[%s]: its handlers cannot run: %s",
                         job.headers.get("task"), job.headers.get("id"), why)  # fmt: skip
            message = Message(job.body, job.content_type, job.content_encoding, job.headers, job.properties)
            record_unrun(self.app, message, states.FAILURE, exc)
            return
        run.kind, run.state, run.value = FAILED, states.FAILURE, exc
        run.einfo = ExceptionInfo.from_exception(exc)
        token = push_task(run.task, run.request)
        try:
            self._fail_rest(run)
            self._record(run)
            self.results.flush()
            handle(self.app, run)
            self.results.flush()
        finally:
            pop_task(token)

    def retry(self, job: Job, exc: BaseException) -> None:
        """Publish the next attempt of a task whose process died (``retry_on_worker_lost``); its handlers run here."""
        try:
            run = self.enter(job)
        except UNREADABLE:
            self.fail(job, exc)
            return
        token = push_task(run.task, run.request)
        try:
            try:
                run.task.retry(exc=exc)
            except (Retry, Reject) as outcome:
                classify(run, outcome)
            handle(self.app, run)
            log_outcome(run)
            self.results.flush()
        finally:
            pop_task(token)
        if run.kind != RETRIED:
            raise run.value

    def begin(self, run: Execution) -> None:
        """What comes before the task's own code: the signal, and that it has begun. May ask the result store."""
        task, request = run.task, run.request
        if signals.task_prerun.receivers:
            signals.task_prerun.send(sender=task, task_id=request.id, task=task, args=run.args, kwargs=run.kwargs)
        if task.plan.track_started and self._wants_record(run):
            self._store_now(run, states.STARTED, {"pid": os.getpid(), "hostname": self.hostname})

    def finish(self, run: Execution) -> None:
        """What comes after the task's own code. May ask the result store and the broker, and calls handlers."""
        request = run.request
        for publish in request._postponed or ():
            try:
                publish()
            except Reject as exc:
                classify(run, exc)
        if request.callbacks or request.chain:
            send_next(self.app, run)
        if run.kind != SUCCEEDED:
            self._fail_rest(run)
        self._record(run)
        leave(self.app, run)

    def begins_at_once(self, run: Execution) -> bool:
        """`begin` does nothing that takes time, and calls nobody."""
        return not (signals.task_prerun.receivers or run.task.plan.track_started)

    def finishes_at_once(self, run: Execution) -> bool:
        """`finish` does nothing that takes time, and calls nobody."""
        request = run.request
        return run.kind == SUCCEEDED and not (
            request.callbacks or request.chain or request.chord or request._postponed or needs_stored_result(run)
        )

    def _fail_rest(self, run: Execution) -> None:
        """Let the steps after a failed one fail with it."""
        chain = run.request.chain
        if run.state != states.FAILURE or not chain:
            return
        for record in follow_up.failed_rest(self.app, chain, run.value, run.traceback):
            self.results.record(self.app.backend, record)
        for part in chords.ended_rest(self.app, chain, run.value, run.traceback, run.request.root_id):
            self.results.end_part(part)
        if not self._wants_record(run):
            self.results.flush()

    def _wants_record(self, run: Execution) -> bool:
        plan = run.task.plan
        ignore: bool | None = run.request.ignore_result
        # The header is null when the caller did not know the task.
        if plan.ignore_result if ignore is None else ignore:
            return run.state == states.FAILURE and bool(plan.store_errors_even_if_ignored)
        return run.kind not in (IGNORED, REQUEUED)

    def _record(self, run: Execution) -> None:
        """Queue the record, and what it means to a chord; store it at once when someone is about to look."""
        # What `Task.retry` published was stored before that.
        wanted = self._wants_record(run) and not (run.kind == RETRIED and run.value.sig is not None)
        in_chord = run.request.chord is not None and run.kind in _ENDS
        if not (wanted or in_chord):
            return
        # A retry is stored as its reason, which may be None; that it is one says the state.
        value = run.value.exc if run.kind == RETRIED else run.value
        record = self._make_record(run, run.state, value)
        if wanted:
            self.results.record(run.task.backend, record)
        if in_chord and (part := chords.ended_part(self.app, run.request, record)) is not None:
            self.results.end_part(part)
        if wanted and needs_stored_result(run):
            self.results.flush()

    def _make_record(self, run: Execution, state: str, value: Any) -> ResultRecord:
        return record_of(run.request, run.request.id or "", state, value, run.traceback, extended=self._extended)

    def store_retry(self, task: Any, request: Context, retry: Retry) -> None:
        """Store that a task is retried, before the next attempt is published: else it might end before that."""
        einfo = ExceptionInfo.from_exception(retry)
        run = Execution(task, request, request.args, request.kwargs, RETRIED, states.RETRY, retry, einfo)
        if self._wants_record(run):
            self._store_now(run, states.RETRY, retry.exc)

    def _store_now(self, run: Execution, state: str, value: Any) -> None:
        store_records(run.task.backend, [self._make_record(run, state, value)])


def send_next(app: AppLike, run: Execution) -> None:
    """Send what follows a success before the result is stored; failing that, the task has failed."""
    if run.kind != SUCCEEDED:
        return
    try:
        follow_up.publish_next(app, run.request, run.value)
    except Exception as exc:
        run.kind, run.state, run.value, run.einfo = FAILED, states.FAILURE, exc, ExceptionInfo()


def run_eager(app: AppLike, task: Any, request: Context, args: Any, kwargs: Any) -> EagerOutcome:
    """Run a task in place, through the same steps as in a worker.

    Args:
        app: The application.
        task: The task.
        request: Complete request, ``is_eager`` set.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Raises:
        Exception: Only what a handler raised; the task's own exception is in the outcome.
    """
    run = Execution(task, request, args, kwargs)
    tracing.perform(run, lambda: _perform_eager(app, run))
    return EagerOutcome(run.state, run.value, run.traceback, run.einfo)


def _perform_eager(app: AppLike, run: Execution) -> Execution:
    """All of an eager run that can have something around it."""
    task, request, args, kwargs = run.task, run.request, run.args, run.kwargs
    token = push_task(task, request)
    try:
        if signals.task_prerun.receivers:
            signals.task_prerun.send(sender=task, task_id=request.id, task=task, args=args, kwargs=kwargs)
        call(run)
        if request.callbacks or request.chain:
            send_next(app, run)
        if app.conf.task_store_eager_result and run.kind not in (IGNORED, REQUEUED):
            store_records(task.backend, [
                record_of(
                    request, request.id or "", run.state, run.value, run.traceback, extended=app.conf.result_extended
                )
            ])  # fmt: skip
        leave(app, run)
    finally:
        pop_task(token)
    return run


def record_unrun(app: AppLike, message: Message, state: str, exc: BaseException) -> None:
    """Record the end of a message that will not run, and what that means to those who wait for it.

    The steps after it and its chord are told where its payload can be read.

    Args:
        app: The application.
        message: The message.
        state: Its state: FAILURE, or REVOKED.
        exc: Why.
    """
    headers, properties = message.headers, message.properties
    task_id = headers.get("id")
    if not isinstance(task_id, str):
        return
    done = utcnow_iso() if state in states.READY_STATES else None
    record = ResultRecord(task_id, state, exc, None, [], done, headers.get("group"), headers.get("parent_id"))
    record.reply_to, record.correlation_id = properties.get("reply_to"), properties.get("correlation_id")
    records, parts = [] if headers.get("ignore_result") else [record], []
    if done is not None:
        try:
            _, _, embed = decode_payload(
                message.body, message.content_type, message.content_encoding, headers,
                app.serializers, app.accept_content,
            )  # fmt: skip
        except UNREADABLE:
            embed = {}
        chain, root_id = embed.get("chain"), headers.get("root_id")
        records = [*follow_up.failed_rest(app, chain, exc, None), *records]
        parts = chords.ended_rest(app, chain, exc, None, root_id)
        request = Context(
            chord=embed.get("chord"), group=headers.get("group"), group_index=headers.get("group_index"),
            root_id=root_id,
        )  # fmt: skip
        if (part := chords.ended_part(app, request, record)) is not None:
            parts.append(part)
    if records:
        store_records(app.backend, records)
    chords.record_parts(parts)


#: Headers of protocol 2 and what brokers add; all others are the user's own.
STANDARD_HEADERS = frozenset(
    {
        "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id",
        "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting",
        "stamped_headers", "stamps", "compression", "utc", chords.ONCE,
    }
)  # fmt: skip


def custom_headers(headers: dict[str, Any]) -> dict[str, Any]:
    """Headers given by the caller."""
    return {name: value for name, value in headers.items() if name not in STANDARD_HEADERS}
