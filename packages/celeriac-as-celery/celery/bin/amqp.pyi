# Made by scripts/celery_stubs.py.
from celeriac.cli.amqp import amqp as amqp
