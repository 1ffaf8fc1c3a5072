"""Settings, under a namespace."""

import json
import os

from celery.schedules import crontab
from kombu import Exchange, Queue
from kombu.serialization import register


def read_backwards(text):
    """A serializer of the project's own."""
    return json.loads((text.decode() if isinstance(text, bytes) else text)[::-1])


register("backwards", lambda value: json.dumps(value)[::-1], read_backwards, "application/x-backwards", "utf-8")

CELERY_BROKER_URL = os.environ["SHOP_BROKER"]
CELERY_RESULT_BACKEND = os.environ["SHOP_RESULTS"]
CELERY_RESULT_EXTENDED = True
CELERY_TASK_TRACK_STARTED = True
CELERY_TIMEZONE = "Europe/Berlin"
CELERY_TASK_DEFAULT_QUEUE = os.environ["SHOP_QUEUE"]
CELERY_TASK_QUEUES = (
    Queue(CELERY_TASK_DEFAULT_QUEUE, Exchange(CELERY_TASK_DEFAULT_QUEUE), routing_key=CELERY_TASK_DEFAULT_QUEUE),
    Queue(f"{CELERY_TASK_DEFAULT_QUEUE}.rush", Exchange("rush", type="direct"), routing_key="rush"),
)
CELERY_TASK_ROUTES = {"shop.tasks.rush": {"queue": f"{CELERY_TASK_DEFAULT_QUEUE}.rush"}}
CELERY_TASK_ANNOTATIONS = {"shop.tasks.limited": {"rate_limit": "100/s"}}
CELERY_ACCEPT_CONTENT = ["json", "pickle", "backwards"]
CELERY_BEAT_SCHEDULE = {
    "nightly": {"task": "shop.tasks.add", "schedule": crontab(hour=3, minute=30), "args": (1, 2)},
    "often": {"task": "shop.tasks.add", "schedule": 30.0, "args": (3, 4), "options": {"expires": 20}},
}
