# Made by scripts/celery_stubs.py.
from celeriac.cli.nodes import Node as Node
