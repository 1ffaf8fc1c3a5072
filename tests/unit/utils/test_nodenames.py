"""Node names and their expansions; expected values were observed with Celery 5.7.0."""

from __future__ import annotations

import os

import pytest

from celeriac.utils import nodenames


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodenames, "gethostname", lambda: "vm")


def test_nodename_joins_with_an_at_sign() -> None:
    assert nodenames.nodename("a", "b") == "a@b"


@pytest.mark.parametrize(
    ("name", "parts"), [("a@b", ("a", "b")), ("b", (None, "b")), ("a@b@c", ("a", "b@c")), ("@b", ("", "b"))]
)
def test_nodesplit_splits_at_the_first_at_sign(name: str, parts: tuple[str | None, str]) -> None:
    assert nodenames.nodesplit(name) == parts


def test_anonymous_names_carry_the_process_id() -> None:
    assert nodenames.anon_nodename() == f"gen{os.getpid()}@vm"
    assert nodenames.anon_nodename("h", prefix="x") == f"x{os.getpid()}@h"


@pytest.mark.parametrize(
    ("given", "complete"),
    [
        (None, "celery@vm"),
        ("", "celery@vm"),
        ("foo", "celery@foo"),
        ("foo@bar", "foo@bar"),
        ("@bar", "celery@bar"),
        ("foo@", "foo@vm"),
    ],
)
def test_default_nodename_completes_what_is_missing(given: str | None, complete: str) -> None:
    assert nodenames.default_nodename(given) == complete


def test_worker_direct_queue_is_named_after_the_node() -> None:
    assert nodenames.worker_direct_queue("w@h") == "w@h.dq2"


@pytest.mark.parametrize(
    ("template", "name", "expanded"),
    [
        ("%n", "w1@host.example.com", "w1"),
        ("%n", "host", "celery"),
        ("%h", "w1@host.example.com", "host.example.com"),
        ("%h", "host", "host"),
        ("%d", "w1@host.example.com", "example.com"),
        ("%d", "w1@host", ""),
        ("%p", "w1@host", "w1@host"),
        ("%i", "w1@host", "0"),
        ("%n-%I.log", "w1@host", "w1-.log"),
        ("%%n", "w1@host", "%n"),
        ("100%", "w1@host", "100%"),
    ],
)
def test_node_format_expands_the_documented_keys(template: str, name: str, expanded: str) -> None:
    assert nodenames.node_format(template, name) == expanded


def test_node_format_takes_the_index_of_a_child() -> None:
    assert nodenames.node_format("%n%I.log %i", "w1@host", i=3, I="-3") == "w1-3.log 3"


def test_host_format_uses_the_first_label_as_the_name() -> None:
    assert nodenames.host_format("%n %h %d", "host.example.com") == "host host.example.com example.com"
    assert nodenames.host_format("%n") == "vm"


@pytest.mark.parametrize("template", ["x%x", "%N"])
def test_an_unknown_expansion_is_named(template: str) -> None:
    with pytest.raises(ValueError, match=f"unknown expansion %{template[-1]} in '{template}'"):
        nodenames.node_format(template, "w1@host")


def test_the_full_name_is_unknown_to_host_format() -> None:
    with pytest.raises(ValueError, match="%p"):
        nodenames.host_format("%p", "host")
