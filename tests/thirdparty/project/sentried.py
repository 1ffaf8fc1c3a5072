"""The shop, watched by Sentry's SDK; what would go to Sentry is written to a file."""

import json
import os
import sys

import sentry_sdk
from celery.beat import Scheduler
from celery.schedules import crontab
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport
from shop import add, again, app, fail

__all__ = ["app"]


class Recording(Transport):
    """Writes items down, one to a line."""

    def capture_envelope(self, envelope):
        with open(os.environ["WATCHED"], "a") as out:  # noqa: PTH123 - as users write it
            for item in envelope.items:
                if item.payload.json is not None:
                    out.write(
                        json.dumps({"type": item.type, "pid": os.getpid(), **item.payload.json}, default=str) + "\n"
                    )


sentry_sdk.init(
    dsn="http://key@127.0.0.1:1/1",
    transport=Recording,
    integrations=[CeleryIntegration(monitor_beat_tasks=True)],
    traces_sample_rate=1.0,
    send_default_pii=True,
)

app.conf.beat_schedule = {"hourly": {"task": "shop.add", "schedule": crontab(minute=0), "args": (1, 1)}}


class AtOnce(Scheduler):
    """Sends every entry when it starts."""

    def setup_schedule(self):
        super().setup_schedule()
        self.merge_inplace(self.app.conf.beat_schedule)
        for entry in self.schedule.values():
            self.apply_entry(entry)


if __name__ == "__main__":
    with sentry_sdk.start_transaction(name="order") as transaction:
        results = [add.delay(2, 3), fail.delay("no stock"), again.delay()]
    for result in results:
        result.get(timeout=60, propagate=False)
    json.dump({"trace": transaction.trace_id, "ids": [result.id for result in results]}, sys.stdout)
