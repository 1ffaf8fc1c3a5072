"""``python drive.py STEP``: what people and programs do to the project; prints what they see as JSON."""

import json
import sys
from datetime import timedelta

import django
import timetable  # noqa: F401 - its app is the current one

django.setup()

from celery import current_app, group
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from django_celery_results.models import GroupResult, TaskResult
from timetable.tasks import fail, note


def enter():
    """One entry of every kind, all of them due, and one that is not enabled."""
    now = timezone.now()
    long_ago = now - timedelta(days=3)
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    clocked = ClockedSchedule.objects.create(clocked_time=now)
    crontab = CrontabSchedule.objects.create(minute="*", hour="*", timezone="Europe/Prague")
    solar = SolarSchedule.objects.create(event="sunrise", latitude=50, longitude=14)
    for name, when in {
        "interval": {"interval": every},
        "once": {"interval": every, "one_off": True},
        "clocked": {"clocked": clocked, "one_off": True},
        "crontab": {"crontab": crontab, "last_run_at": long_ago},
        "solar": {"solar": solar, "last_run_at": long_ago},
        "later": {"interval": every, "enabled": False},
        "by hand": {"interval": every, "enabled": False},
    }.items():
        PeriodicTask.objects.create(name=name, task="timetable.note", args=json.dumps([name]), **when)


def change():
    """One entry is switched off and another on, in the admin, where a third is run at once."""
    User.objects.create_superuser("admin", password="admin")
    client = Client()
    client.login(username="admin", password="admin")
    for action, name in (("disable_tasks", "interval"), ("enable_tasks", "later"), ("run_tasks", "by hand")):
        chosen = PeriodicTask.objects.get(name=name)
        page = client.post(
            "/admin/django_celery_beat/periodictask/", {"action": action, "_selected_action": [chosen.pk]}, follow=True
        )
        assert page.status_code == 200, page.content


def entries():
    """How the entries stand."""
    return {
        entry.name: {"enabled": entry.enabled, "runs": entry.total_run_count} for entry in PeriodicTask.objects.all()
    }


def results():
    """What comes back of calls, and what is in the tables."""
    done, failed = note.delay("called"), fail.delay("on purpose")
    both = group(note.s("a"), note.s("b")).apply_async()
    both.save()
    try:
        failed.get(timeout=60)
    except ValueError as error:
        raised = repr(error)
    found = {
        "value": done.get(timeout=60),
        "raised": raised,
        "group": sorted(both.get(timeout=60)),
        "restored": current_app.GroupResult.restore(both.id).get(timeout=60) == both.get(timeout=60),
        "name": current_app.AsyncResult(done.id).name,
        "backend": type(current_app.backend).__module__,
    }
    if TaskResult.objects.filter(task_id=done.id).exists():
        row = TaskResult.objects.get(task_id=done.id)
        found["row"] = {
            "status": row.status, "task_name": row.task_name, "result": json.loads(row.result),
            "started": row.date_started is not None, "is_worker_named": "@" in row.worker,
            "called with": "called" in row.task_args, "traceback": row.traceback,
        }  # fmt: skip
        found["failed row"] = "on purpose" in TaskResult.objects.get(task_id=failed.id).traceback
        found["group row"] = GroupResult.objects.filter(group_id=both.id).count()
    done.forget()
    found["forgotten"] = not TaskResult.objects.filter(task_id=done.id).exists()
    both.delete()
    found["group is gone"] = current_app.GroupResult.restore(both.id) is None
    return found


print(json.dumps({"enter": enter, "change": change, "entries": entries, "results": results}[sys.argv[1]]()))
