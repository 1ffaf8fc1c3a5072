"""The table of key-value stores: which driver serves a URL scheme.  It imports none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Scheme: module of this package with a function ``open_driver(url, options)``.
STORES: Final[Mapping[str, str]] = {
    "arangodb": "arangodb",
    "azureblockblob": "azure",
    "cache+memcache": "memcached",
    "cache+memcached": "memcached",
    "cache+pylibmc": "memcached",
    "cache+pymemcache": "memcached",
    "memcache": "memcached",
    "memcached": "memcached",
    "pylibmc": "memcached",
    "pymemcache": "memcached",
    "cassandra": "cassandra",
    "consul": "consul",
    "cosmosdbsql": "cosmosdb",
    "cosmosdbsql+http": "cosmosdb",
    "couchbase": "couchbase",
    "couchbases": "couchbase",
    "couchdb": "couchdb",
    "couchdb+https": "couchdb",
    "django-cache": "django_cache",
    "django-db": "django_db",
    "dynamodb": "dynamodb",
    "elasticsearch": "elasticsearch",
    "elasticsearch+https": "elasticsearch",
    "file": "filesystem",
    "filesystem": "filesystem",
    "gs": "gcs",
    "mongodb": "mongodb",
    "mongodb+srv": "mongodb",
    "s3": "s3",
}

#: Schemes of Celery that nothing here serves yet, by the name of the store.
NOT_BUILT: Final[Mapping[str, str]] = {
    "riak": "Riak, whose client for Python is no longer kept up,",
}
