"""Stores whose servers are not to be had in the tests, as HTTP servers that answer as their documentation says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.emulators.arangodb import ArangoDB
from tests.support.emulators.consul import Consul
from tests.support.emulators.cosmosdb import CosmosDB
from tests.support.emulators.couchdb import CouchDB
from tests.support.emulators.elasticsearch import Elasticsearch
from tests.support.emulators.gcs import GoogleCloudStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.emulators.http import Emulator

#: By the scheme of their URLs.
EMULATORS: dict[str, Callable[[], Emulator]] = {
    "arangodb": ArangoDB,
    "consul": Consul,
    "cosmosdbsql+http": CosmosDB,
    "couchdb": CouchDB,
    "elasticsearch": Elasticsearch,
    "gs": GoogleCloudStorage,
}
