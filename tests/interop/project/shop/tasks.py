"""Tasks that use what the documentation shows."""

from celery import chain, group, states
from celery.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry, SoftTimeLimitExceeded
from celery.utils.log import get_task_logger

from shop.celery import Audited, app, seen

logger = get_task_logger(__name__)


class OutOfStock(Exception):
    """An error of the project."""


@app.task
def add(x, y):
    logger.info("adding %s and %s", x, y)
    return x + y


@app.task(name="shop.total")
def total(numbers):
    return sum(numbers)


@app.task(bind=True)
def who(self):
    request = self.request
    return [self.name, request.retries, request.delivery_info["routing_key"] is not None, request.marked]


@app.task(bind=True, max_retries=3, default_retry_delay=0)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(exc=OutOfStock("not yet"), countdown=0)
    return self.request.retries


@app.task(bind=True, autoretry_for=(OutOfStock,), retry_kwargs={"max_retries": 2, "countdown": 0}, retry_backoff=False)
def keeps_trying(self):
    raise OutOfStock(f"attempt {self.request.retries}")


@app.task(bind=True, max_retries=0)
def gives_up(self):
    try:
        self.retry(countdown=0)
    except MaxRetriesExceededError as exc:
        return type(exc).__name__
    except Retry:
        return "retried"


@app.task(base=Audited, bind=True)
def audited(self):
    return self.ledger


@app.task(base=Audited, throws=(OutOfStock,))
def fails():
    raise OutOfStock("apples", 3)


@app.task
def what_was_seen():
    return sorted({kind for kind, *_ in seen})


@app.task(bind=True)
def progresses(self):
    self.update_state(state="PROGRESS", meta={"done": 1})
    return app.AsyncResult(self.request.id).state


@app.task(bind=True)
def ignored(self):
    self.update_state(state="SET_ASIDE", meta="by hand")
    raise Ignore


@app.task(acks_late=True)
def rejected():
    raise Reject("no reason", requeue=False)


@app.task(soft_time_limit=1, time_limit=60)
def slow():
    try:
        while True:
            sum(range(1000))
    except SoftTimeLimitExceeded:
        return "stopped softly"


@app.task(bind=True)
def replaced(self, x):
    raise self.replace(chain(add.s(x, 1), add.s(10)))


@app.task(rate_limit="10/s", priority=3, expires=600)
def limited():
    return limited.rate_limit


@app.task(ignore_result=True)
def kept_to_itself():
    return 1


@app.task(serializer="pickle")
def pickled(value):
    return sorted(value)


@app.task(serializer="backwards")
def backwards(text):
    return text


@app.task
def rush():
    return "rushed"


@app.task(bind=True)
def trail(self):
    group(add.s(1, 1), add.s(2, 2)).apply_async()
    return len(self.request.children)


@app.task
def on_error(request, exc, traceback):
    app.backend.client.set(f"shop.error.{request.id}", repr(exc)) if hasattr(app.backend, "client") else None


@app.task
def is_ready(state):
    return state in states.READY_STATES
