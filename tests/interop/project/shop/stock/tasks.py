"""Tasks of a package that knows no app."""

from celery import current_task, shared_task


@shared_task
def count(*words):
    """How many there are, and who counts."""
    return [len(words), current_task.name]


@shared_task(bind=True, name="stock.named", ignore_result=False)
def named(self, **kwargs):
    """Its name, and what it was given."""
    return [self.name, sorted(kwargs)]
