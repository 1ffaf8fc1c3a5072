"""The app, configured from a module with a namespace, as a project has it."""

from celery import Celery, Task, bootsteps, signals

app = Celery("shop", include=["shop.tasks"])
app.config_from_object("shop.settings", namespace="CELERY")
app.autodiscover_tasks(["shop.stock"])
seen = []


class Audited(Task):
    """A base class with handlers and state of its own."""

    abstract = True
    _opened = 0

    @property
    def ledger(self):
        type(self)._opened += 1
        return f"ledger of {self.name}"

    def on_success(self, retval, task_id, args, kwargs):
        seen.append(("on_success", self.name))

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        seen.append(("on_failure", type(exc).__name__))


class Till(bootsteps.StartStopStep):
    """Opens with the worker."""

    def start(self, worker):
        print(f"the till of {worker.app.main} is open", flush=True)


app.steps["worker"].add(Till)


@app.on_after_configure.connect
def add_periodic(sender, **kwargs):
    """One more entry of beat."""
    sender.add_periodic_task(3600.0, app.signature("shop.tasks.add", args=(1, 1)), name="hourly")


@signals.task_prerun.connect
def prerun(sender=None, task_id=None, task=None, args=None, kwargs=None, **_):
    """Kept for a task that asks what was seen."""
    seen.append(("prerun", task.name))


@signals.task_postrun.connect
def postrun(sender=None, state=None, **_):
    """Ditto."""
    seen.append(("postrun", sender.name, state))


@signals.worker_process_init.connect
def process_init(**_):
    """Ditto."""
    seen.append(("process_init",))


@signals.before_task_publish.connect
def mark(sender=None, headers=None, **_):
    """Adds a header to each call."""
    headers["marked"] = sender
