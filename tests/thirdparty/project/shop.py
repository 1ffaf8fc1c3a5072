"""A project written for Celery."""

import os
import time
from pathlib import Path

from celery import Celery
from celery.contrib.abortable import AbortableTask
from kombu import Queue

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_RESULTS"])
app.conf.update(
    task_default_queue=os.environ["SHOP_QUEUE"],
    task_queues=[Queue(os.environ["SHOP_QUEUE"])],
    task_send_sent_event=True,
    worker_send_task_events=True,
    worker_pool_restarts=True,
    result_extended=True,
    task_track_started=True,
    broker_connection_retry_on_startup=True,
)


@app.task
def add(x, y):
    return x + y


@app.task
def fail(text):
    raise ValueError(text)


@app.task(bind=True, max_retries=1)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=0, exc=KeyError("not yet"))
    return self.request.retries


@app.task(bind=True, base=AbortableTask)
def wait_for(self, path):
    """Runs until there is a file of that name, or it is aborted."""
    while not Path(path).exists():
        if self.is_aborted():
            return "aborted"
        time.sleep(0.02)
    return "done"
