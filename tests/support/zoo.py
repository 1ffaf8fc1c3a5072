"""Tasks of every temper, for workers under test.  `make_app` is called by the test and by the worker it starts."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from celeriac import Celery, signals
from celeriac.app import shared
from celeriac.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celeriac.result import allow_join_result
from celeriac.worker.control import control_command, inspect_command
from tests.support.ledger import Ledger

#: Signals written down with ``record_signals``.
RECORDED = (
    "worker_init",
    "worker_ready",
    "worker_process_init",
    "worker_process_shutdown",
    "worker_shutting_down",
    "worker_shutdown",
    "celeryd_init",
    "celeryd_after_setup",
    "eventlet_pool_started",
    "eventlet_pool_preshutdown",
    "eventlet_pool_postshutdown",
    "eventlet_pool_apply",
    "task_received",
    "task_prerun",
    "task_postrun",
    "task_success",
    "task_failure",
    "task_retry",
    "task_unknown",
    "task_rejected",
    "task_revoked",
)


def make_app(conf: dict[str, Any], ledger_path: str) -> Celery:
    """The application.

    Args:
        conf: Settings; ``record_signals`` has every signal written into the ledger, ``steps`` adds the bootsteps of
            `tests.support.steps`, ``stop_first_child`` stops (SIGSTOP) the first child while it starts,
            ``signals_in_full`` adds the receivers of `tests.support.signal_recorder`, and ``hang_once`` has the first
            child wait forever.
        ledger_path: Where tasks write down what they did.
    """
    settings = dict(conf)
    record_signals = settings.pop("record_signals", False)
    with_steps = settings.pop("steps", False)
    stop_first_child = settings.pop("stop_first_child", False)
    signals_in_full = settings.pop("signals_in_full", False)
    hang_once = settings.pop("hang_once", False)
    app = Celery("zoo", set_as_current=False, changes=settings)
    ledger = Ledger(ledger_path)
    others = dict(shared.declarations)
    _declare_quiet(app, ledger)
    _declare_outcomes(app, ledger)
    _declare_deadly(app, ledger)
    _declare_observers(app, ledger)
    _declare_waiting(app, ledger)
    _declare_coroutines(app, ledger)
    _declare_chords(app, ledger)
    # Its tasks are its own: the apps of other tests in this process would have them too, for as long as it lasts.
    shared.declarations.clear()
    shared.declarations.update(others)
    if with_steps:
        from tests.support import steps

        steps.install(app, ledger, broken=with_steps == "broken")
    if stop_first_child:
        signals.worker_process_init.connect(lambda **_: _stop_once(Path(f"{ledger_path}.stopped")), weak=False)
    if signals_in_full:
        from tests.support import signal_recorder

        signal_recorder.install(app, ledger)
    if record_signals:
        for name in RECORDED:
            _record_signal(name, ledger)
    if hang_once:
        signals.worker_process_init.connect(partial(_hang_once, ledger), weak=False)
    return app


def _stop_once(mark: Path) -> None:
    """Stop this process, if it is the first to come here."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGSTOP)


def _hang_once(ledger: Ledger, **_: Any) -> None:
    if not ledger.count("hangs"):
        ledger.write("hangs")
        time.sleep(600)


def _record_signal(name: str, ledger: Ledger) -> None:
    def receiver(sender: Any = None, **fields: Any) -> None:
        ledger.write(f"signal {name}", id=fields.get("task_id"), state=fields.get("state"), how=fields.get("how"))

    getattr(signals, name).connect(receiver, weak=False)


def _declare_quiet(app: Celery, ledger: Ledger) -> None:  # noqa: C901 - a list of declarations
    """Tasks that succeed."""

    @app.task(name="noop", ignore_result=True)
    def noop() -> None:
        return None

    @app.task(name="add")
    def add(x: Any, y: Any) -> Any:
        return x + y

    @app.task(name="pid")
    def pid() -> int:
        return os.getpid()

    @app.task(name="size")
    def size(blob: Any) -> int:
        return len(blob)

    @app.task(name="shout")
    def shout(count: int) -> int:
        line = "x" * 1023
        for _ in range(count // 1024):
            print(line)  # noqa: T201 - printing is what this task is for
        return count

    @app.task(name="tell", bind=True)
    def tell(self: Any, percent: int) -> None:
        self.send_event("task-progress", percent=percent)

    @app.task(name="unreported", send_events=False)
    def unreported() -> str:
        return "unreported"

    def work(self: Any, seconds: float = 0.0, gate: str | None = None, then: str | None = None) -> str:
        request = self.request
        ledger.write("start", id=request.id, key=then, retries=request.retries)
        if seconds:
            time.sleep(seconds)
        while gate is not None and not Path(gate).exists():
            time.sleep(0.005)
        ledger.write("end", id=request.id, key=then, retries=request.retries)
        return str(request.id)

    app.task(name="work", bind=True)(work)
    app.task(name="early", bind=True, acks_late=False)(work)
    app.task(name="limited", bind=True, rate_limit="5/s")(work)

    @app.task(name="hog", bind=True)
    def hog(self: Any, seconds: float) -> None:
        """Lets no other thread of its process run."""
        ledger.write("start", id=self.request.id)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            # One instruction, which holds the interpreter's lock.
            sum(range(50_000_000))
        ledger.write("end", id=self.request.id)

    @app.task(name="keep_memory")
    def keep_memory(mib: int) -> int:
        _kept.append(bytearray(os.urandom(1024) * 1024 * mib))
        return os.getpid()


_kept: list[bytearray] = []


@control_command(args=[("n", int)], signature="[N=1]")
def widen(state: Any, n: int = 1) -> dict[str, str]:
    """Hold more messages."""
    state.consumer.qos.increment_eventually(n)
    return {"ok": "wider"}


@inspect_command(alias="limit_of_prefetch")
def prefetch_limit(state: Any) -> dict[str, Any]:
    """Messages that may be held."""
    return {"limit": state.consumer.qos.value, "hostname": state.hostname}


def _declare_outcomes(app: Celery, ledger: Ledger) -> None:  # noqa: C901 - a list of declarations
    """Tasks that end otherwise."""

    @app.task(name="fail")
    def fail(text: str = "on purpose") -> None:
        raise ValueError(text)

    @app.task(name="fail_rejecting", bind=True, acks_on_failure_or_timeout=False)
    def fail_rejecting(self: Any) -> None:
        ledger.write("start", id=self.request.id)
        raise ValueError("on purpose")

    @app.task(name="retry", bind=True, max_retries=10)
    def retry(self: Any, times: int, countdown: float = 0) -> int:
        ledger.write("start", id=self.request.id, retries=self.request.retries)
        if self.request.retries < times:
            raise self.retry(countdown=countdown)
        return int(self.request.retries)

    @app.task(name="autoretry", bind=True, autoretry_for=(ValueError,), max_retries=2, default_retry_delay=0)
    def autoretry(self: Any, times: int) -> int:
        ledger.write("start", id=self.request.id, retries=self.request.retries)
        if self.request.retries < times:
            raise ValueError("not yet")
        return int(self.request.retries)

    @app.task(name="ignore", bind=True)
    def ignore(self: Any) -> None:
        ledger.write("start", id=self.request.id)
        raise Ignore

    @app.task(name="reject", bind=True)
    def reject(self: Any, requeue: bool) -> str:
        ledger.write("start", id=self.request.id)
        if not requeue or ledger.count("start", id=self.request.id) < 3:
            raise Reject("on purpose", requeue=requeue)
        return "third time"

    @app.task(name="unserializable")
    def unserializable() -> Any:
        return object()

    @app.task(name="progress", bind=True)
    def progress(self: Any, gate: str) -> str:
        self.update_state(state="PROGRESS", meta={"done": 7})
        while not Path(gate).exists():
            time.sleep(0.005)
        return "done"


def _declare_deadly(app: Celery, ledger: Ledger) -> None:
    """Tasks that exceed limits or end their process."""

    def die(self: Any, how: str, times: int = 1000) -> str:
        ledger.write("start", id=self.request.id)
        if ledger.count("start", id=self.request.id) <= times:
            _die(how)
        ledger.write("end", id=self.request.id)
        return "survived"

    app.task(name="die", bind=True)(die)
    app.task(name="die_early", bind=True, acks_late=False)(die)
    app.task(name="die_retry", bind=True, retry_on_worker_lost=True, max_retries=2, default_retry_delay=0)(die)
    app.task(name="retried_early", bind=True, acks_late=False, default_retry_delay=0)(die)
    app.task(name="die_once", bind=True, reject_on_worker_lost=False)(die)

    @app.task(name="soft", bind=True)
    def soft(self: Any) -> str:
        ledger.write("start", id=self.request.id)
        try:
            time.sleep(600)
        except SoftTimeLimitExceeded as exc:
            ledger.write("soft", id=self.request.id)
            return f"cleaned up after {exc.args[0]}"
        return "never"

    def stubborn(self: Any, seconds: float = 600.0) -> str:
        ledger.write("start", id=self.request.id)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(SoftTimeLimitExceeded):
                time.sleep(max(0.0, end - time.monotonic()))
        return "never"

    @app.task(name="unending", bind=True)
    def unending(self: Any) -> None:
        ledger.write("start", id=self.request.id)
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(600)

    app.task(name="stubborn", bind=True)(stubborn)
    app.task(name="stubborn_again", bind=True, acks_on_timeout=False)(stubborn)


def _die(how: str) -> None:
    if how == "SystemExit":
        sys.exit(3)
    if how == "KeyboardInterrupt":
        raise KeyboardInterrupt
    if how == "_exit":
        os._exit(7)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "MemoryError":
        raise MemoryError
    os.kill(os.getpid(), getattr(signal, how))
    time.sleep(30)


def _declare_chords(app: Celery, ledger: Ledger) -> None:
    """Tasks of chords. Their parts, of which there are many, have a ledger of their own."""
    parts = Ledger(f"{ledger.path}.parts")

    @app.task(name="part", bind=True, max_retries=1)
    def part(self: Any, index: int, how: str = "returns") -> int:
        parts.write("part", id=self.request.id)
        if how == "fails":
            raise ValueError(index)
        if how == "retries" and not self.request.retries:
            raise self.retry(countdown=0)
        return index

    @app.task(name="whole", bind=True)
    def whole(self: Any, values: list[int]) -> None:
        ledger.write("whole", id=self.request.id, values=values)

    @app.task(name="broken")
    def broken(task_id: str) -> None:
        ledger.write("broken", id=task_id)


def _declare_observers(app: Celery, ledger: Ledger) -> None:  # noqa: C901 - a list of declarations
    """Tasks that tell of other tasks, and one with every hook."""

    @app.task(name="note")
    def note(value: Any) -> None:
        request = app.current_task.request
        ledger.write("note", value=value, id=request.id, redelivered=request.delivery_info["redelivered"])

    @app.task(name="errback_in_place")
    def errback_in_place(request: Any, exc: BaseException, traceback: Any) -> None:
        ledger.write("errback in place", id=request.id, error=repr(exc))

    @app.task(name="errback_published")
    def errback_published(task_id: str) -> None:
        request = app.current_task.request
        ledger.write("errback published", id=task_id, redelivered=request.delivery_info["redelivered"])

    class Hooked(app.Task):  # type: ignore[misc, name-defined]
        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            ledger.write("hook before_start", id=task_id)

        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            ledger.write("hook on_success", id=task_id, value=retval)

        def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            ledger.write("hook on_failure", id=task_id, value=repr(exc))

        def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            ledger.write("hook on_retry", id=task_id)

        def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            ledger.write("hook after_return", id=task_id, value=status)

    @app.task(name="hooked", base=Hooked, bind=True, max_retries=3)
    def hooked(self: Any, how: str) -> str:
        if how == "fail":
            raise ValueError(how)
        if how == "retry" and not self.request.retries:
            raise self.retry(countdown=0)
        if how == "die":
            os._exit(9)
        return how


def _declare_waiting(app: Celery, ledger: Ledger) -> None:  # noqa: C901 - a list of declarations
    """Tasks that wait, as threads and greenlets do, for others in their process."""
    gathered = {"now": 0, "most": 0}

    @app.task(name="gather")
    def gather(count: int) -> int:
        """Ends when ``count`` of these run at once."""
        gathered["now"] += 1
        gathered["most"] = max(gathered["most"], gathered["now"])
        try:
            while gathered["most"] < count:
                time.sleep(0.05)
        finally:
            gathered["now"] -= 1
        return os.getpid()

    @app.task(name="calls")
    def calls(x: int) -> int:
        """Publishes a task, waits for its result, and reads a key of the result store."""
        with allow_join_result():
            return int(app.tasks["add"].delay(x, x).get(timeout=60))

    @app.task(name="who", bind=True)
    def who(self: Any, naps: int) -> list[Any]:
        """What the current task and request are, seen again and again while others run."""
        seen = set()
        for _ in range(naps):
            time.sleep(0.001)
            seen.add((app.current_task.name, self.request.id, app.current_task.request.id, _seen.get()))
            _seen.set(self.request.id)
        return sorted(map(list, seen), key=repr)

    @app.task(name="busy", bind=True)
    def busy(self: Any) -> None:
        ledger.write("start", id=self.request.id)
        while True:
            pass

    @app.task(name="ended", bind=True)
    def ended(self: Any) -> None:
        """Says so when it is ended from outside."""
        ledger.write("start", id=self.request.id)
        try:
            time.sleep(600)
        except BaseException as exc:
            ledger.write("ended", id=self.request.id, by=type(exc).__name__)
            raise

    @app.task(name="settings")
    def settings(name: str) -> Any:
        return app.conf[name]


_seen: ContextVar[str | None] = ContextVar("seen", default=None)


def _declare_coroutines(app: Celery, ledger: Ledger) -> None:  # noqa: C901, PLR0915 - a list of declarations
    """Tasks that are ``async def``."""
    gathered = {"now": 0, "most": 0}

    @app.task(name="aadd")
    async def aadd(x: Any, y: Any) -> Any:
        await asyncio.sleep(0)
        return x + y

    @app.task(name="anap", ignore_result=True)
    async def anap(seconds: float) -> None:
        await asyncio.sleep(seconds)

    @app.task(name="agather")
    async def agather(count: int) -> int:
        """Ends when ``count`` of these run at once."""
        gathered["now"] += 1
        gathered["most"] = max(gathered["most"], gathered["now"])
        try:
            while gathered["most"] < count:  # noqa: ASYNC110 - others run in other loops, where there are several
                await asyncio.sleep(0.01)
        finally:
            gathered["now"] -= 1
        return os.getpid()

    @app.task(name="awork", bind=True)
    async def awork(self: Any, gate: str | None = None) -> str:
        ledger.write("start", id=self.request.id)
        try:
            if gate is not None:
                await _opened(gate)
        except asyncio.CancelledError:
            ledger.write("cancelled", id=self.request.id)
            raise
        ledger.write("end", id=self.request.id)
        return str(self.request.id)

    @app.task(name="awho", bind=True)
    async def awho(self: Any, naps: int) -> list[Any]:
        """What the current task and request are, seen again and again while others run."""
        seen = set()
        for _ in range(naps):
            await asyncio.sleep(0.001)
            seen.add((app.current_task.name, self.request.id, app.current_task.request.id))
        return sorted(map(list, seen))

    @app.task(name="afail")
    async def afail(text: str = "on purpose") -> None:
        await asyncio.sleep(0)
        raise ValueError(text)

    @app.task(name="acancelled")
    async def acancelled() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        await task

    @app.task(name="aretry", bind=True, max_retries=10)
    async def aretry(self: Any, times: int) -> int:
        if self.request.retries < times:
            raise self.retry(countdown=0)
        return int(self.request.retries)

    @app.task(name="aautoretry", bind=True, autoretry_for=(ValueError,), max_retries=2, default_retry_delay=0)
    async def aautoretry(self: Any, times: int) -> int:
        await asyncio.sleep(0)
        if self.request.retries < times:
            raise ValueError("not yet")
        return int(self.request.retries)

    @app.task(name="aprogress", bind=True)
    async def aprogress(self: Any, gate: str) -> str:
        self.update_state(state="PROGRESS", meta={"done": 7})
        await _opened(gate)
        return "done"

    @app.task(name="acalls")
    async def acalls(x: int) -> str:
        result = await aadd.adelay(x, x)
        return str(result.id)

    @app.task(name="asoft", bind=True)
    async def asoft(self: Any, how: str = "sleep") -> str:
        ledger.write("start", id=self.request.id)
        try:
            if how == "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(_note_cancellation(ledger, self.request.id))
            await asyncio.sleep(600)
        except SoftTimeLimitExceeded as exc:
            return f"cleaned up after {exc.args[0]}"
        return "never"

    @app.task(name="astubborn", bind=True)
    async def astubborn(self: Any, how: str) -> str:
        ledger.write("start", id=self.request.id)
        while how == "busy":
            pass
        while how == "suppress":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(600)
        await asyncio.sleep(600)
        return "never"

    @app.task(name="aloop")
    async def aloop() -> int:
        return id(asyncio.get_running_loop())

    @app.task(name="agenerate")
    async def agenerate(upto: int) -> int:
        async def numbers() -> Any:
            for number in range(upto):
                await asyncio.sleep(0)
                yield number

        return sum([number async for number in numbers()])

    @app.task(name="aindirect")
    def aindirect(x: int) -> Any:
        return aadd.run(x, x)

    class AHooked(app.Task):  # type: ignore[misc, name-defined]
        async def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            await asyncio.sleep(0)
            ledger.write("hook before_start", id=task_id)

        async def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            await asyncio.sleep(0)
            ledger.write("hook on_success", id=task_id, value=retval)

        def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            ledger.write("hook after_return", id=task_id, value=status)

    @app.task(name="ahooked", base=AHooked)
    async def ahooked(how: str) -> str:
        return how


async def _opened(gate: str) -> None:
    """Wait for another process."""
    while not Path(gate).exists():  # noqa: ASYNC110, ASYNC240 - there is nothing to await
        await asyncio.sleep(0.01)


async def _note_cancellation(ledger: Ledger, task_id: str) -> None:
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        ledger.write("group cancelled", id=task_id)
        raise
