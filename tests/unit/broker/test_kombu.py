"""The adapter of kombu's transports, where no transport is needed."""

from __future__ import annotations

import sys

import pytest

from celeriac.broker import open_broker
from celeriac.broker.kombu.transports import kombu_url
from celeriac.exceptions import ImproperlyConfigured


def test_a_url_is_read_as_kombu_does() -> None:
    assert kombu_url("sqla+sqlite:///a.db") == ("sqla", "sqla+sqlite:///a.db")
    assert kombu_url("kombu+memory://") == ("memory", "memory://")
    assert kombu_url("slmq://me:key@host/") == ("slmq", "SLMQ://me:key@host/")


@pytest.mark.parametrize("url", ["qpid://host", "kombu+amqp://host", "kombu+pyamqp://host"])
def test_transports_that_are_no_virtual_ones_are_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="cannot be used here; use"):
        open_broker(url)


def test_without_kombu_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kombu", None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'celeriac\[kombu\]'"):
        open_broker("filesystem://")
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'celeriac\[confluentkafka\]'"):
        open_broker("kafka://user:secret@host")


def test_a_transport_that_kombu_does_not_have_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="transport nothing cannot be loaded"):
        open_broker("kombu+nothing://")


def test_capabilities_are_those_of_the_transport() -> None:
    plain, shared = (open_broker(url).capabilities for url in ("sqla+sqlite://", "filesystem://"))
    assert (plain.name, plain.fanout, plain.priorities, plain.counts_receivers) == ("sqla", False, False, False)
    assert (shared.name, shared.fanout, shared.in_process) == ("filesystem", True, False)
    assert open_broker("mongodb://host").capabilities.priorities
