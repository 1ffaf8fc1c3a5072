"""Settings of the project; where its database and its broker are is said by the environment."""

from __future__ import annotations

import os

SECRET_KEY = "not secret"
USE_TZ = True
TIME_ZONE = "Europe/Oslo"
INSTALLED_APPS = ["tests.support.django_shop.orders.apps.OrdersConfig", "tests.support.django_shop.stock"]
_DATABASE = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DATABASE"]}
DATABASES = {"default": _DATABASE, "kept": {**_DATABASE, "CONN_MAX_AGE": None}}
CACHES = {"default": {"BACKEND": "tests.support.django_shop.cache.CountingCache"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CELERY_BROKER_URL = os.environ["SHOP_BROKER"]
CELERY_RESULT_BACKEND = os.environ["SHOP_BROKER"]
CELERY_WORKER_POOL_START_METHOD = os.environ.get("SHOP_START_METHOD", "fork")
CELERY_TASK_DEFAULT_QUEUE = os.environ["SHOP_QUEUE"]
