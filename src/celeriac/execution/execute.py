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
from time import monotonic
from typing import TYPE_CHECKING, Any

from celeriac import signals, states
from celeriac.backend.base import ResultRecord
from celeriac.current import Context, pop_task, push_task
from celeriac.exceptions import (
    Ignore,
    ImproperlyConfigured,
    InvalidTaskError,
    NotRegistered,
    Reject,
    Retry,
    SerializationError,
)
from celeriac.execution import chords, follow_up
from celeriac.execution.job import FAILED, IGNORED, REFUSED, REJECTED, REQUEUED, RETRIED, SUCCEEDED, Outcome
from celeriac.execution.patience import patiently
from celeriac.execution.results import store_records
from celeriac.message import Message
from celeriac.protocol import decode_payload
from celeriac.serialization.einfo import ExceptionInfo
from celeriac.utils.dataclass import dataclass
from celeriac.utils.saferepr import saferepr
from celeriac.utils.time import utcnow_iso

if TYPE_CHECKING:
    from celeriac.current import AppLike
    from celeriac.execution.job import Job
    from celeriac.execution.results import ResultBuffer

logger = logging.getLogger("celeriac.app.trace")

#: Kinds of outcome after which a task does not come again.
_ENDS = (SUCCEEDED, FAILED, REJECTED)
#: What a payload that cannot be run raises; ImproperlyConfigured is a serializer whose package is not installed.
UNREADABLE = (SerializationError, InvalidTaskError, NotRegistered, ImproperlyConfigured)


@dataclass
class Execution:
    """Working record of one run, filled in step by step.

    Attributes:
        task: The task.
        request: Its request.
        args: Positional arguments.
        kwargs: Keyword arguments.
        kind: Kind of outcome (constants of `celeriac.execution.job`).
        state: State to store.
        value: Return value, or the exception.
        einfo: Of the exception, if there was one.
        runtime: Seconds the task's own code took.
    """

    task: Any
    request: Context
    args: Any
    kwargs: Any
    kind: int = SUCCEEDED
    state: str = states.SUCCESS
    value: Any = None
    einfo: ExceptionInfo | None = None
    runtime: float = 0.0

    @property
    def traceback(self) -> str | None:
        """Text of the traceback, if there was an exception."""
        return self.einfo.traceback if self.einfo is not None else None


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

    def execute(self, job: Job) -> Outcome:
        """Run one job; its record goes to the result buffer. Never raises an `Exception`."""
        try:
            run = self._enter(job)
        except UNREADABLE as exc:
            return self._refuse(job, exc)
        if chords.ONCE in job.headers and not self._may_begin(job):
            return Outcome(job.seq, IGNORED, 0.0)
        if job.events:
            self.results.event("task-started", {"uuid": run.request.id})
        token = push_task(run.task, run.request)
        try:
            self._run(run)
        finally:
            pop_task(token)
        if job.events:
            for type_, fields in ending_events(run):
                self.results.event(type_, fields)
        return Outcome(job.seq, run.kind, run.runtime, _detail(run))

    def _may_begin(self, job: Job) -> bool:
        redelivered = bool(job.delivery_info.get("redelivered"))
        return patiently(
            lambda: chords.may_begin(self.app, job.headers, redelivered=redelivered),
            f"ask {self.app.backend.url} whether task {job.headers.get('id')} may begin",
        )

    def _enter(self, job: Job) -> Execution:
        """Decode the payload and build the request."""
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
            headers=custom_headers(headers),
            _before_retry=self.store_retry,
        )
        return Execution(task, request, args, kwargs)

    def _refuse(self, job: Job, exc: Exception) -> Outcome:
        """A payload that cannot be decoded: the worker sets the message aside with this reason."""
        logger.error("Task %s[%s] cannot run: %s", job.headers.get("task"), job.headers.get("id"), exc)
        return Outcome(job.seq, REFUSED, 0.0, f"{type(exc).__name__}: {exc}")

    def fail(self, job: Job, exc: BaseException) -> None:
        """Record a failure that was decided outside of the task: its process died, or was killed at a limit.

        The handlers and errbacks run here, as nobody is left in the child to run them.
        """
        try:
            run = self._enter(job)
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

    def _run(self, run: Execution) -> None:
        """Every step from the first signal to the last."""
        task, request = run.task, run.request
        plan = task.plan
        if signals.task_prerun.receivers:
            signals.task_prerun.send(sender=task, task_id=request.id, task=task, args=run.args, kwargs=run.kwargs)
        if plan.track_started and not self._ignores(run):
            self._store_now(run, states.STARTED, {"pid": os.getpid(), "hostname": self.hostname})
        call(run)
        conclude(self.app, run)
        if run.kind != SUCCEEDED:
            self._fail_rest(run)
        self._record(run)
        self._leave(run)

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

    def _ignores(self, run: Execution) -> bool:
        # The header is null when the caller did not know the task.
        ignore: bool | None = run.request.ignore_result
        return bool(run.task.plan.ignore_result if ignore is None else ignore)

    def _wants_record(self, run: Execution) -> bool:
        if run.kind in (IGNORED, REQUEUED):
            return False
        if self._ignores(run):
            return run.state == states.FAILURE and bool(run.task.plan.store_errors_even_if_ignored)
        return True

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
        request = run.request
        return ResultRecord(
            request.id or "",
            state,
            value,
            run.traceback,
            [child.as_tuple() for child in request.__dict__.get("_children", ())],
            utcnow_iso() if state in states.READY_STATES else None,
            request.group,
            request.parent_id,
            self._extra(run) if self._extended or request.stamped_headers else None,
            request.reply_to,
            request.correlation_id,
        )

    def _extra(self, run: Execution) -> dict[str, Any]:
        """Fields of ``result_extended``, and the stamps."""
        request = run.request
        extra: dict[str, Any] = {}
        if self._extended:
            info = request.delivery_info or {}
            extra = {
                "name": request.get("task"),
                "args": list(run.args),
                "kwargs": dict(run.kwargs),
                "worker": self.hostname,
                "retries": request.retries,
                "queue": info.get("routing_key"),
            }
        if request.stamped_headers:
            extra["stamped_headers"] = request.stamped_headers
            extra.update(request.stamps or {})
        return extra

    def store_retry(self, task: Any, request: Context, retry: Retry) -> None:
        """Store that a task is retried, before the next attempt is published: else it might end before that."""
        einfo = ExceptionInfo.from_exception(retry)
        run = Execution(task, request, request.args, request.kwargs, RETRIED, states.RETRY, retry, einfo)
        if self._wants_record(run):
            self._store_now(run, states.RETRY, retry.exc)

    def _store_now(self, run: Execution, state: str, value: Any) -> None:
        store_records(run.task.backend, [self._make_record(run, state, value)])

    def _leave(self, run: Execution) -> None:
        handle(self.app, run)
        log_outcome(run)
        if signals.task_postrun.receivers:
            signals.task_postrun.send(
                sender=run.task, task_id=run.request.id, task=run.task, args=run.args, kwargs=run.kwargs,
                retval=run.value, state=run.state,
            )  # fmt: skip


def call(run: Execution) -> None:
    """Call the user's code and classify how it ended.

    `SystemExit` and `KeyboardInterrupt` pass through: the process is to end, and the pool treats the task as lost.
    """
    task, plan = run.task, run.task.plan
    started = monotonic()
    try:
        if plan.has_before_start:
            task.before_start(run.request.id, run.args, run.kwargs)
        run.value = task(*run.args, **run.kwargs) if plan.custom_call else task.run(*run.args, **run.kwargs)
    except Reject as exc:
        run.kind = REQUEUED if exc.requeue else REJECTED
        run.state, run.value = (states.REJECTED if exc.requeue else states.FAILURE), exc
        run.einfo = describe(exc)
    except Ignore as exc:
        run.kind, run.state, run.value = IGNORED, states.IGNORED, exc
    except Retry as exc:
        run.kind, run.state, run.value, run.einfo = RETRIED, states.RETRY, exc, describe(exc)
    except MemoryError:
        raise
    except Exception as exc:
        run.kind, run.state, run.value, run.einfo = FAILED, states.FAILURE, exc, describe(exc)
    run.runtime = monotonic() - started


def describe(exc: BaseException) -> ExceptionInfo:
    """The exception that the user's code raised, with a traceback that begins there and not in this file."""
    tb = exc.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    # Without any frame of the user's, such as for arguments that do not fit, ours are better than none.
    if tb is not None:
        exc.__traceback__ = tb
    return ExceptionInfo.from_exception(exc)


def conclude(app: AppLike, run: Execution) -> None:
    """Send what must be out before the result is stored; failing that, the task has failed."""
    if run.kind != SUCCEEDED:
        return
    request = run.request
    if request.callbacks or request.chain:
        try:
            follow_up.publish_next(app, run.request, run.value)
        except Exception as exc:
            run.kind, run.state, run.value, run.einfo = FAILED, states.FAILURE, exc, ExceptionInfo()


def needs_stored_result(run: Execution) -> bool:
    """Someone may read the result before the next flush: a handler, a signal receiver, an errback."""
    plan = run.task.plan
    if run.kind == SUCCEEDED:
        return bool(plan.has_on_success or plan.has_after_return or signals.task_success.receivers
                    or signals.task_postrun.receivers)  # fmt: skip
    return True


def handle(app: AppLike, run: Execution) -> None:
    """Handlers, signals and errbacks that follow the stored result."""
    kind = run.kind
    if kind == SUCCEEDED:
        _after_success(run)
    elif kind == RETRIED:
        _after_retry(run)
    elif kind in (FAILED, REJECTED):
        _after_failure(app, run)
    if run.task.plan.has_after_return and kind in (SUCCEEDED, FAILED):
        task, request = run.task, run.request
        _guarded(run, "after_return", task.after_return,
                 run.state, run.value, request.id, run.args, run.kwargs, None)  # fmt: skip


def _after_success(run: Execution) -> None:
    task, request = run.task, run.request
    if task.plan.has_on_success:
        _guarded(run, "on_success", task.on_success, run.value, request.id, run.args, run.kwargs)
    if signals.task_success.receivers:
        signals.task_success.send(sender=task, result=run.value, runtime=run.runtime)


def _after_retry(run: Execution) -> None:
    task, request, reason = run.task, run.request, run.value
    if task.plan.has_on_retry:
        _guarded(run, "on_retry", task.on_retry, reason.exc, request.id, run.args, run.kwargs, run.einfo)
    if signals.task_retry.receivers:
        signals.task_retry.send(sender=task, request=request, reason=reason, einfo=run.einfo)


def _after_failure(app: AppLike, run: Execution) -> None:
    task, request, exc = run.task, run.request, run.value
    try:
        follow_up.publish_errbacks(app, request, exc, run.traceback)
    except Exception:
        logger.exception("Task %s[%s]: its errbacks could not be published", task.name, request.id)
    if task.plan.has_on_failure:
        _guarded(run, "on_failure", task.on_failure, exc, request.id, run.args, run.kwargs, run.einfo)
    if signals.task_failure.receivers:
        signals.task_failure.send(
            sender=task, task_id=request.id, exception=exc, args=run.args, kwargs=run.kwargs,
            traceback=exc.__traceback__, einfo=run.einfo,
        )  # fmt: skip


def _guarded(run: Execution, name: str, handler: Any, *args: Any) -> None:
    """Call a user's handler; what it raises is logged and changes nothing (eager mode raises it)."""
    try:
        handler(*args)
    except (MemoryError, Reject):
        raise
    except Exception:
        if run.request.is_eager:
            raise
        logger.exception("Task %s[%s]: %s raised", run.task.name, run.request.id, name)


def log_outcome(run: Execution) -> None:
    """The lines operators know: succeeded, raised, retry, ignored, reject."""
    name, task_id = run.request.shadow or run.task.name, run.request.id
    if run.kind == SUCCEEDED:
        if logger.isEnabledFor(logging.INFO):
            text = saferepr(run.value, run.task.plan.resultrepr_maxsize)
            logger.info("Task %s[%s] succeeded in %.6fs: %s", name, task_id, run.runtime, text)
    elif run.kind == FAILED:
        if isinstance(run.value, run.task.plan.throws):
            logger.info("Task %s[%s] raised expected: %r", name, task_id, run.value)
        else:
            logger.error("Task %s[%s] raised unexpected: %r\n%s", name, task_id, run.value, run.traceback)
    elif run.kind == RETRIED:
        logger.info("Task %s[%s] retry: %s", name, task_id, run.value)
    elif run.kind == IGNORED:
        logger.info("Task %s[%s] ignored", name, task_id)
    else:
        logger.info("Task %s[%s] reject requeue=%s", name, task_id, run.kind == REQUEUED)


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
    token = push_task(task, request)
    try:
        if signals.task_prerun.receivers:
            signals.task_prerun.send(sender=task, task_id=request.id, task=task, args=args, kwargs=kwargs)
        call(run)
        conclude(app, run)
        if app.conf.task_store_eager_result and run.kind not in (IGNORED, REQUEUED):
            store_records(task.backend, [
                ResultRecord(request.id or "", run.state, run.value, run.traceback, [], utcnow_iso())
            ])  # fmt: skip
        handle(app, run)
        log_outcome(run)
        if signals.task_postrun.receivers:
            signals.task_postrun.send(
                sender=task, task_id=request.id, task=task, args=args, kwargs=kwargs,
                retval=run.value, state=run.state,
            )  # fmt: skip
    finally:
        pop_task(token)
    return EagerOutcome(run.state, run.value, run.traceback, run.einfo)


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


def ending_events(run: Execution) -> list[tuple[str, dict[str, Any]]]:
    """What those who listen to events are told of how a run ended: types and fields."""
    kind, task_id = run.kind, run.request.id
    if kind == SUCCEEDED:
        text = saferepr(run.value, run.task.plan.resultrepr_maxsize)
        return [("task-succeeded", {"uuid": task_id, "result": text, "runtime": run.runtime})]
    failure = {"uuid": task_id, "exception": _detail(run), "traceback": run.traceback}
    if kind == RETRIED:
        if run.value.exc is not None:
            failure["exception"] = saferepr(run.value.exc)
        return [("task-retried", failure)]
    found: list[tuple[str, dict[str, Any]]] = []
    if kind in (REQUEUED, REJECTED):
        found.append(("task-rejected", {"uuid": task_id, "requeue": kind == REQUEUED}))
    if kind in (FAILED, REJECTED):
        found.append(("task-failed", failure))
    return found


#: Headers of protocol 2 and what brokers add; all others are the user's own.
STANDARD_HEADERS = frozenset(
    {
        "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id",
        "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting",
        "stamped_headers", "stamps", "compression", "utc", chords.ONCE,
    }
)  # fmt: skip


def custom_headers(headers: dict[str, Any]) -> dict[str, Any] | None:
    """Headers given by the caller, or None when there are none."""
    if len(headers) <= len(STANDARD_HEADERS) and headers.keys() <= STANDARD_HEADERS:
        return None
    return {name: value for name, value in headers.items() if name not in STANDARD_HEADERS}


def _detail(run: Execution) -> str | None:
    """Reason of an outcome that is not a plain success."""
    if run.kind == SUCCEEDED:
        return None
    try:
        return repr(run.value)
    except Exception as exc:
        return f"<{type(run.value).__name__} whose repr() raised {type(exc).__name__}>"
