# Made by scripts/celery_stubs.py.
