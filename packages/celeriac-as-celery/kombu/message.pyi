# Made by scripts/celery_stubs.py.
from celeriac.messaging.message import Message as Message
