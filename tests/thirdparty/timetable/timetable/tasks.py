"""What is called."""

from celery import shared_task


@shared_task(name="timetable.note")
def note(name):
    """Its result tells that it ran."""
    return name


@shared_task(name="timetable.fail")
def fail(text):
    """Fails."""
    raise ValueError(text)
