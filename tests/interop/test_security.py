"""Signed messages of both libraries, and strangers who are not listened to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, LIBRARIES, Fleet, other
from tests.support import wait_until
from tests.support.certificates import Identity, make_identity

if TYPE_CHECKING:
    from collections.abc import Iterator


def identity_settings(identity: Identity, store: str) -> dict[str, Any]:
    return {
        "security_key": str(identity.key),
        "security_certificate": str(identity.certificate),
        "security_cert_store": store,
    }


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("trusted"), "trusted")


@pytest.fixture(scope="module")
def signing(redis_database: str, trusted: Identity, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Both libraries, signing tasks, events and remote control, results too."""
    conf = {
        "broker_url": redis_database,
        "result_backend": redis_database,
        "task_serializer": "auth",
        "event_serializer": "auth",
        "result_serializer": "auth",
        "accept_content": ["auth"],
        "result_accept_content": None,
        "worker_enable_remote_control": True,
        "task_graph_inline_max": None,
        **identity_settings(trusted, str(trusted.certificate.parent / "*.pem")),
    }
    made = Fleet(conf, tmp_path_factory.mktemp("signing"))
    yield made
    made.close()


@pytest.mark.parametrize("sender", LIBRARIES)
def test_tasks_and_results_are_read_by_the_other(signing: Fleet, sender: str) -> None:
    signing.worker(other(sender))
    outcome = signing.client(sender).run("echo", {"naïve": [1, None]}, queue=signing.queue(other(sender)))
    assert (outcome.state, outcome.value) == ("SUCCESS", {"naïve": [1, None]})


@pytest.mark.parametrize("sender", LIBRARIES)
def test_workers_of_both_obey_signed_commands(signing: Fleet, sender: str) -> None:
    for library in LIBRARIES:
        signing.worker(library)
    answers = signing.client(sender)("control", "ping", timeout=10, limit=2)
    assert {node: answer for one in answers for node, answer in one.items()} == {
        "the-celery@interop": {"ok": "pong"},
        "the-celeriac@interop": {"ok": "pong"},
    }


@pytest.mark.parametrize("sender", LIBRARIES)
def test_a_stranger_is_refused_before_anything_is_decoded(
    signing: Fleet, sender: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    worker = signing.worker(CELERIAC)
    directory = tmp_path_factory.mktemp("stranger")
    stranger = make_identity(directory, "stranger")
    client = signing.start_client(sender, **identity_settings(stranger, str(directory / "certs" / "*.pem")))
    try:
        task_id = client("send", "echo", "intruder", queue=signing.queue(CELERIAC))
    finally:
        client.close()
    wait_until(lambda: task_id in worker.log, what="the refusal")
    assert "Unknown certificate 'NO Sel & søn stranger" in worker.log
    assert signing.ledger.count("echo", id=task_id) == 0
    assert signing.client(CELERY).run("echo", 1, queue=signing.queue(CELERIAC)).value == 1
