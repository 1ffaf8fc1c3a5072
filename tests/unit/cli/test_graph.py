"""``celeriac graph`` prints what Graphviz reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from celeriac import bootsteps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celeriac import Celery

    Cli = Callable[..., tuple[int, str, str]]


class Canary(bootsteps.Step):
    requires: ClassVar[Iterable[Any]] = ("celery.worker.components:Pool",)


def test_bootsteps_are_drawn_with_those_of_users(cli: Cli, app: Celery) -> None:
    app.steps["worker"].add(Canary)
    code, out, _ = cli("graph", "bootsteps", app=app)
    assert code == 0
    assert out.startswith("digraph bootsteps {")
    assert out.endswith("}\n")
    for edge in ('"Canary" -> "Pool";', '"Pool" -> "Hub";', '"Control" -> "Tasks";', '"event loop" -> "Connection";'):
        assert edge in out


def test_one_blueprint_is_drawn_alone(cli: Cli, app: Celery) -> None:
    assert "Mingle" not in cli("graph", "bootsteps", "worker", app=app)[1]
    assert "Pool" not in cli("graph", "bootsteps", "consumer", app=app)[1]
    assert cli("graph", "bootsteps", "waiter", app=app)[0] == 2


def test_workers_can_be_given(cli: Cli, app: Celery) -> None:
    words = ("nodes:a,b,c", "threads:3", "broker:redis://:secret@r/0", "backend:rpc://", "wmax:2", "tmax:1")
    code, out, _ = cli("graph", "workers", *words, app=app)
    assert code == 0
    for line in (
        '"a" -> "redis://:**@r/0";', '"b" -> "rpc://";', '"a: task 1" -> "a";', '"a: 2 more tasks" -> "a";',
        '"(1 more workers)" -> "rpc://";',
    ):  # fmt: skip
        assert line in out
    assert '"c"' not in out


@pytest.mark.parametrize(("flag", "title"), [("enumerate", "1. a"), ("generic", "Worker 1")])
def test_workers_can_be_numbered(cli: Cli, app: Celery, flag: str, title: str) -> None:
    assert f'"{title}" ->' in cli("graph", "workers", "nodes:a", flag, app=app)[1]


@pytest.mark.parametrize("words", [("node:a",), ("nodes:a", "threads:x"), ("nodes:a", "wmax:many")])
def test_wrong_words_are_wrong_usage(cli: Cli, app: Celery, words: tuple[str, ...]) -> None:
    assert cli("graph", "workers", *words, app=app)[0] == 2


def test_no_workers_are_status_69(cli: Cli, app: Celery) -> None:
    code, out, err = cli("graph", "workers", "-t", "0.1", app=app)
    assert (code, out) == (69, "")
    assert "No nodes replied" in err
