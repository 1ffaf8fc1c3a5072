"""``celeriac events``: which of its three ways is taken, and what is refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac import Celery

    Cli = Callable[..., tuple[int, str, str]]


def test_printing_and_pictures_exclude_each_other(cli: Cli, app: Celery) -> None:
    code, _, err = cli("events", "--dump", "-c", "a:B", app=app)
    assert code == 2
    assert "give one of them" in err


def test_the_monitor_cannot_be_detached(cli: Cli, app: Celery) -> None:
    code, _, err = cli("events", "--detach", app=app)
    assert code == 2
    assert "the monitor needs a terminal: --detach goes with --camera" in err


def test_a_monitor_that_is_not_installed_is_named(cli: Cli, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "celeriac.cli.monitor.screen", None)
    monkeypatch.setattr("importlib.import_module", _without_textual)
    code, _, err = cli("events", app=app)
    assert code == 1
    assert "pip install 'celeriac[tui]'" in err


def _without_textual(name: str, package: str | None = None) -> Any:
    import importlib

    if name.startswith("celeriac.cli.monitor"):
        raise ModuleNotFoundError("No module named 'textual'", name="textual")
    return importlib.__import__(name, fromlist=["_"])


@pytest.mark.parametrize(("options", "called"), [(["-d"], "evdump"), (["-c", "a:B", "-F", "3", "-r", "5/m"], "evcam")])
def test_options_choose(
    cli: Cli, app: Celery, monkeypatch: pytest.MonkeyPatch, options: list[str], called: str
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("celeriac.events.dumper.evdump", lambda *args, **given: calls.append(("evdump", args[1:])))
    monkeypatch.setattr("celeriac.events.snapshot.evcam", lambda *args, **given: calls.append(("evcam", args)))
    monkeypatch.setattr("signal.signal", lambda *args: None)
    assert cli("events", *options, app=app)[0] == 0
    assert calls == [(called, () if called == "evdump" else ("a:B", 3.0, "5/m"))]
