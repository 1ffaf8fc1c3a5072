"""The extras of the distribution: Celery's bundles, and those that drivers tell users to install."""

from __future__ import annotations

import tomllib
from pathlib import Path

from celeriac.broker import KOMBU_SCHEMES
from celeriac.broker.kombu.transports import TRANSPORTS

ROOT = Path(__file__).parents[2]
#: Bundles of Celery 5.7.0.
BUNDLES = (
    "arangodb auth azureblockblob brotli cassandra consul cosmosdbsql couchbase couchdb django dynamodb elasticsearch "
    "eventlet gcpubsub gcs gevent librabbitmq memcache mongodb msgpack pydantic pymemcache pyro pytest redis s3 slmq "
    "solar sqlalchemy sqs tblib yaml zookeeper zstd"
)


def extras() -> dict[str, list[str]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: dict[str, list[str]] = tomllib.load(file)["project"]["optional-dependencies"]
    return found


def test_every_bundle_of_celery_is_an_extra() -> None:
    assert set(BUNDLES.split()) <= set(extras())


def test_all_means_every_extra() -> None:
    found = extras()
    groups = [requirement.removeprefix("celeriac[").removesuffix("]") for requirement in found.pop("all")]
    assert sorted(",".join(groups).split(",")) == sorted(found)


def test_transports_name_extras_that_exist_and_bring_kombu() -> None:
    found = extras()
    assert set(TRANSPORTS) | {"qpid"} == set(KOMBU_SCHEMES)
    for scheme, transport in TRANSPORTS.items():
        wanted = [requirement for extra in transport.extra.split(",") for requirement in found[extra]]
        assert any(requirement.startswith("kombu>=") for requirement in wanted), scheme
