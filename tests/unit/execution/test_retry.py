"""What is stored when a task is retried."""

from __future__ import annotations

from typing import Any

from celeriac import Celery, signals
from celeriac.execution.chords import record_parts
from celeriac.execution.execute import Executor
from celeriac.execution.job import Job, Outcome
from celeriac.execution.results import ResultBuffer


def test_state_is_stored_before_the_next_attempt_is_published(unique_name: str) -> None:
    """The next attempt may end elsewhere before this one has: nothing of this one may be stored after that."""
    with Celery("proj", broker=f"memory://{unique_name}", backend=f"memory://{unique_name}") as app:

        @app.task(name="again", bind=True)
        def again(self: Any) -> None:
            raise self.retry(exc=ValueError("not yet"), countdown=0)

        again.apply_async(task_id="t1")
        session: Any = app.broker.connect()
        session.consume([app.queues.get_or_create("celery")])
        (delivery,) = session.fetch(limit=1, wait=0)
        session.close()
        seen: list[Any] = []

        def on_publish(**_: Any) -> None:
            found = app.backend.load_many(["t1"])["t1"]
            seen.append((found.status, str(found.result)))
            app.backend.forget_many(["t1"])

        outcomes: list[Outcome] = []
        message = delivery.message
        job = Job(
            1, message.headers, message.properties, message.body, message.content_type, message.content_encoding, {},
            None, None, False,
        )  # fmt: skip
        results = ResultBuffer(outcomes.extend, join=record_parts)
        signals.before_task_publish.connect(on_publish)
        try:
            results.finish(Executor(app, "w@h", results).execute(job), more=False)
        finally:
            signals.before_task_publish.disconnect(on_publish)
        assert seen == [("RETRY", "not yet")]
        assert len(outcomes) == 1
        assert app.backend.load_many(["t1"]) == {}, "the state was stored again"
