# Made by scripts/celery_stubs.py.
from celeriac.worker.autoscale import Autoscaler as Autoscaler
