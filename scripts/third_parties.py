"""What is known of programs and libraries made for Celery: a part of docs/compatibility.md."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["section"]


class ThirdParty(NamedTuple):
    """One of them.

    Attributes:
        name: Its name.
        beside: How it is on real Celery, beside workers of Celeriac.
        door: How it is with the door open.
        but: What does not work, or works differently; each a sentence.
    """

    name: str
    beside: str
    door: str
    but: tuple[str, ...]


THIRD_PARTIES = (
    ThirdParty(
        "Flower 2.2",
        "works on Redis: every page and every call of its API",
        "works on Redis: every page and every call of its API; 347 of the 353 tests that it ships pass",
        (
            "Six of its tests fail. `app.bugreport()` names Celeriac and not Celery (2). The URL `amqp://` is shown "
            "as it was given (2). `state.tasks` forgets the tasks with the oldest events, whether or not they were "
            "read. The app has no private `_autodiscover_tasks`.",
            "On RabbitMQ it was not tested: its page of the broker needs the management plug-in.",
        ),
    ),
    ThirdParty(
        "sentry-sdk 2.75",
        "not tested",
        "works: traces, errors and check-ins of beat, in the pool of processes",
        (
            "There is no span `queue.publish`: tasks are not published through `kombu.Producer`.",
            "A call has one span `queue.submit.celery` where Celery has two: `apply_async` does not call `send_task`.",
            "Tasks that are coroutines, in the asyncio pool, are not watched. Other pools were not tested.",
            "The tests that it ships were not run.",
        ),
    ),
    ThirdParty(
        "opentelemetry-instrumentation-celery 0.66",
        "not tested",
        "works: spans, metrics and the context of traces",
        ("Ten of the 30 tests that it ships fail: `app.Worker(app=…)` is refused, as `app` is no option of it.",),
    ),
    ThirdParty(
        "celery-exporter",
        "not tested",
        "not tested",
        (
            "The release on PyPI (1.5.1) needs Celery 4 and is not built by today's tools for Rust; the exporter of "
            "the same name that is kept up is not on PyPI. A worker has metrics of its own: `celeriac worker --http`.",
        ),
    ),
    ThirdParty(
        "celery-types 0.26",
        "not tested",
        "not tested",
        ("`celeriac-as-celery` and Celeriac itself bring types of their own.",),
    ),
)

_HEAD = """
## Monitors and instrumentation

Programs and libraries that watch Celery, unmodified: on real Celery beside workers of Celeriac, and on Celeriac through
the door. `make thirdparty` runs what is tested of this, and the tests that they ship.

| | Beside workers of Celeriac | Through the door |
|---|---|---|
"""


def section() -> str:
    """The text of that part."""
    rows = "".join(f"| {each.name} | {each.beside} | {each.door} |\n" for each in THIRD_PARTIES)
    notes = [
        f"\n### {each.name}\n\n" + "".join(f"- {line}\n" for line in each.but) for each in THIRD_PARTIES if each.but
    ]
    return f"{_HEAD}{rows}{''.join(notes)}"
