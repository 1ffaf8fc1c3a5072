"""Calls the tasks of the shop, and prints what came back as JSON: the same for Celery and for what stands in for it."""

import json
import sys
from datetime import UTC, datetime, timedelta

import celery
from celery import chain, chord, group, signature, states
from celery.exceptions import NotRegistered, TimeoutError
from celery.result import AsyncResult, GroupResult, ResultSet, result_from_tuple
from shop import celery_app, tasks
from shop.stock.tasks import count, named

PATIENCE = 60
found = {}


def get(result):
    """Its value, or what it raised."""
    try:
        return result.get(timeout=PATIENCE)
    except Exception as exc:
        return [type(exc).__name__, [str(arg) for arg in exc.args]]


add = tasks.add
found["delay"] = get(add.delay(2, 3))
found["apply_async"] = get(add.apply_async((2,), {"y": 4}, countdown=0.1, expires=300))
found["eta"] = get(add.apply_async((1, 1), eta=datetime.now(UTC) + timedelta(seconds=0.2)))
found["direct"] = add(1, 2)
found["apply"] = add.apply((3, 3)).get()
found["send_task"] = get(celery_app.send_task("shop.tasks.add", (5, 5)))
found["who"] = get(tasks.who.delay())
found["retry"] = get(tasks.third_time.delay())
found["autoretry"] = get(tasks.keeps_trying.delay())
found["gives_up"] = get(tasks.gives_up.delay())
found["audited"] = get(tasks.audited.delay())
found["fails"] = get(tasks.fails.delay())
found["progress"] = get(tasks.progresses.delay())
found["soft limit"] = get(tasks.slow.delay())
found["replace"] = get(tasks.replaced.delay(1))
found["annotated"] = get(tasks.limited.delay())
found["pickle"] = get(tasks.pickled.delay((3, 1, 2)))
found["own serializer"] = get(tasks.backwards.delay("abc"))
found["routed"] = get(tasks.rush.delay())
found["trail"] = get(tasks.trail.delay())
found["shared"] = get(count.delay("a", "b"))
found["named"] = get(named.delay(one=1, two=2))
found["by kwargs"] = get(named.apply_async(kwargs={"three": 3}))

found["chain"] = get(chain(add.s(1, 1), add.s(2), add.s(3))())
found["pipe"] = get((add.s(1, 1) | add.s(10)).apply_async())
found["group"] = get(group(add.s(i, i) for i in range(4))())
found["chord"] = get(chord([add.s(i, 1) for i in range(4)])(tasks.total.s()))
found["group | task"] = get((group(add.s(1, 1), add.s(2, 2)) | tasks.total.s() | add.s(100)).apply_async())
found["map"] = get(tasks.total.map([[1, 2], [3, 4]]).delay())
found["starmap"] = get(add.starmap([(1, 2), (3, 4)]).delay())
found["chunks"] = get(add.chunks(zip(range(4), range(4), strict=True), 2).apply_async())
found["immutable"] = get(chain(add.s(1, 1), add.si(5, 5))())
found["failing chord"] = type(
    chord([tasks.fails.s(), add.s(1, 1)])(tasks.total.s()).get(timeout=PATIENCE, propagate=False, follow_parents=False)
).__name__
found["partial"] = get(add.s(2).delay(3))
found["signature"] = get(signature("shop.tasks.add", args=(7, 7), app=celery_app).apply_async())
found["from dict"] = get(signature(dict(add.s(8, 8))).apply_async())
found["repr"] = [repr(add.s(1, 2)), repr(chain(add.s(1), add.s(2)))]
found["eager"] = chain(add.s(1, 1), add.s(1)).apply().get()

result = add.delay(4, 4)
found["states"] = [get(result), result.state == states.SUCCESS, result.successful(), result.failed(), result.ready()]
again = AsyncResult(result.id, app=celery_app)
found["extended"] = [
    again.result,
    again.name,
    list(again.args),
    again.kwargs,
    again.retries,
    again.date_done is not None,
]
found["tuple"] = result_from_tuple(result.as_tuple(), app=celery_app).get(timeout=PATIENCE)
found["set"] = sorted(ResultSet([add.delay(i, 0) for i in range(3)]).get(timeout=PATIENCE))
saved = group(add.s(i, i) for i in range(3)).apply_async()
saved.save()
found["group result"] = [get(GroupResult.restore(saved.id, app=celery_app)), saved.completed_count()]
failed = tasks.fails.delay()
found["failure"] = [
    get(failed),
    failed.state,
    "OutOfStock" in failed.traceback,
    failed.maybe_throw(propagate=False) is not None,
]
never = AsyncResult("there-is-no-such-task", app=celery_app)
try:
    never.get(timeout=0.1)
except TimeoutError as exc:
    found["timeout"] = type(exc).__name__
try:
    celery_app.tasks["shop.nothing"]
except NotRegistered as exc:
    found["not registered"] = exc.args[0]
found["seen"] = get(tasks.what_was_seen.apply_async())
found["beat"] = sorted(celery_app.conf.beat_schedule)
found["nightly"] = repr(celery_app.conf.beat_schedule["nightly"]["schedule"])
found["version"] = celery.__version__
found["registered"] = sorted(name for name in celery_app.tasks if name.startswith(("shop.", "stock.")))
found["conf"] = [celery_app.conf.task_acks_late, celery_app.conf.worker_prefetch_multiplier, str(celery_app.timezone)]
inspected = celery_app.control.inspect(timeout=5, destination=[sys.argv[1]])
found["ping"] = celery_app.control.ping([sys.argv[1]], timeout=5)
found["active queues"] = sorted(queue["name"] for queue in inspected.active_queues()[sys.argv[1]])
with celery_app.connection_for_write() as connection, connection.SimpleQueue(f"notes.{sys.argv[1]}") as notes:
    notes.put({"note": 1})
    note = notes.get(timeout=PATIENCE)
    found["note"] = note.payload
    note.ack()
print(json.dumps(found))
