"""Global options, the table of commands, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import click
import pytest

from celeriac import Celery, __version__, current, signals
from celeriac.cli import errors, plugins
from celeriac.cli.main import COMMANDS
from celeriac.exceptions import ImproperlyConfigured, OperationalError, QueueNotFound
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., tuple[int, str, str]]

PLUGIN = "plug"


@click.command()
@click.pass_context
def plug(ctx: click.Context) -> None:
    """A plug-in; the entry points below name it."""
    click.echo(f"plugged into {ctx.obj.app.main}")


no_command = object()


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",)])
def test_help_lists_every_command_and_exits_0(cli: Cli, argv: tuple[str, ...]) -> None:
    code, out, _ = cli(*argv)
    assert code == 0
    for name, entry in COMMANDS.items():
        assert f"  {name}" in out
        assert entry.help in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_description_and_help(cli: Cli, name: str) -> None:
    code, out, _ = cli(name, "--help")
    assert code == 0
    assert f" {name} " in out.splitlines()[0]
    assert "Options:" in out


def test_version_is_printed(cli: Cli) -> None:
    code, out, _ = cli("--version")
    assert (code, out.split()[:2]) == (0, ["celeriac", __version__])


def test_help_imports_neither_the_worker_nor_the_pool() -> None:
    statement = "import sys; from celeriac.cli.main import run; run(['--help'])"
    check = "print([name for name in sys.modules if name.startswith(('celeriac.worker', 'celeriac.pool'))])"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}; {check}"], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_mistyped_command_is_answered_with_a_suggestion(cli: Cli) -> None:
    code, out, err = cli("wroker")
    assert (code, out) == (2, "")
    assert "There is no command 'wroker'. Did you mean 'worker'?" in err


def test_mistyped_sub_command_is_answered_with_a_suggestion(cli: Cli) -> None:
    code, _, err = cli("list", "queue")
    assert code == 2
    assert "Did you mean 'queues'?" in err


@pytest.mark.parametrize("option", [("-A", "proj"), ("--broker", "redis://"), ("-b", "redis://"), ("-q",)])
def test_global_option_after_the_command_is_explained(cli: Cli, option: tuple[str, ...]) -> None:
    code, _, err = cli("report", *option)
    assert code == 2
    assert f"{option[0]} is an option of" in err
    assert "goes before the command" in err


def test_unknown_app_is_an_error_of_usage(cli: Cli) -> None:
    code, out, err = cli("-A", "no_such_module_anywhere", "report")
    assert (code, out) == (2, "")
    assert err.startswith(
        "Error: Unable to load celery application.\nThe module no_such_module_anywhere was not found."
    )


def test_urls_and_modules_are_exported_to_the_settings(cli: Cli, app: Celery, tmp_path: Path) -> None:
    (tmp_path / "conf_module.py").write_text("task_default_queue = 'from_module'\n")
    argv = ["-b", "memory://x", "--result-backend", "disabled://", "--config", "conf_module", "--loader", "default"]
    code, out, _ = cli(*argv, "list", "tasks", app=app)
    assert (code, out) == (0, "proj.add\n")
    names = ("BROKER_URL", "RESULT_BACKEND", "CONFIG_MODULE", "LOADER")
    assert [os.environ[f"CELERY_{name}"] for name in names] == ["memory://x", "disabled://", "conf_module", "default"]
    assert app.conf.task_default_queue == "from_module"


@pytest.mark.parametrize("text", [None, "import missing_one\n", "task_default_queue = (\n", "broker_lease = 'long'\n"])
def test_settings_that_cannot_be_read_are_one_error(cli: Cli, app: Celery, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "conf_module.py").write_text(text)
    code, out, err = cli("--config", "conf_module", "list", "tasks", app=app)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert "/celeriac/" not in err


@pytest.mark.parametrize("variable", ["APP", "CELERY_APP"])
def test_app_can_be_named_in_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "no_such_module_anywhere")
    assert cli("report")[0] == 2


def test_workdir_is_entered_before_the_app_is_imported(cli: Cli, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "wd_app.py").write_text("from celeriac import Celery\napp = Celery('there', broker='memory://')\n")
    code, out, _ = cli("-A", "wd_app", "--workdir", str(elsewhere), "report", "--json")
    assert code == 0
    assert '"app": "there"' in out


def test_workdir_that_is_missing_is_an_error_of_usage(cli: Cli) -> None:
    code, _, err = cli("--workdir", "/no/such/directory", "report")
    assert code == 2
    assert "cannot change to '/no/such/directory'" in err


def test_named_app_becomes_the_current_one(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cur_app.py").write_text("from celeriac import Celery\napp = Celery('cur', set_as_current=False)\n")
    assert cli("-A", "cur_app", "list", "tasks")[0] == 0
    assert current.get_current_app().main == "cur"


# --------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (OperationalError("no answer"), "no answer", 69),
        (errors.Unreachable("message broker", "redis://:pw@h/0", "refused"),
         "Could not connect to the message broker redis://:**@h/0: refused", 69),
        (ImproperlyConfigured("broker_url is 3"), "broker_url is 3", 1),
        (QueueNotFound("Queue 'x' is not there"), "Queue 'x' is not there", 1),
        (ZeroDivisionError(), None, 1),
    ],
)  # fmt: skip
def test_known_errors_become_one_line_and_a_code(error: Exception, text: str | None, code: int) -> None:
    assert errors.explain(error) == (text, code)


# ------------------------------------------------------------------------------------------------- plug-ins


def entry_point(value: str, group: str = "celery.commands") -> EntryPoint:
    return EntryPoint(PLUGIN, value, group)


def install(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point for point in points if point.group == group])


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_command_of_a_plug_in_is_listed_and_runs(
    cli: Cli, app: Celery, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    install(monkeypatch, entry_point(f"{__name__}:plug", group))
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    assert PLUGIN in cli("--help")[1]
    assert cli(PLUGIN, app=app)[:2] == (0, "plugged into proj\n")


@pytest.mark.parametrize(
    ("value", "reason"),
    [("no_such_module_anywhere:x", "cannot be loaded"), (f"{__name__}:no_command", "is no click command")],
)
def test_broken_plug_in_fails_when_it_is_run(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    install(monkeypatch, entry_point(value))
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    assert cli("--help")[0] == 0
    code, _, err = cli(PLUGIN, "--any", "argument")
    assert code == 1
    assert reason in err


def _this_module() -> Any:
    class Module:
        pass

    Module.plug = plug  # type: ignore[attr-defined]
    Module.no_command = no_command  # type: ignore[attr-defined]
    return Module


# ------------------------------------------------------------------------------------------ the app's options


def test_preload_options_go_to_their_signal_and_not_to_the_command(cli: Cli, app: Celery) -> None:
    app.user_options["preload"].add(click.Option(["-Z", "--template"], default="plain", help="A template."))
    seen: list[Any] = []

    def receive(options: Any, **_: Any) -> None:
        seen.append(options)

    signals.user_preload_options.connect(receive)
    try:
        code, out, _ = cli("report", "--template", "fancy", "--json", app=app)
    finally:
        signals.user_preload_options.disconnect(receive)
    assert code == 0
    assert out.startswith("{")
    assert seen == [{"template": "fancy"}]
    assert "Options of the application" in cli("report", "--help", app=app)[1]


def test_start_of_an_app_runs_the_command_line_for_it(app: Celery, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.start(["list", "tasks"]) == 0
    assert capsys.readouterr().out == "proj.add\n"


def test_worker_main_needs_the_command(app: Celery) -> None:
    with pytest.raises(ValueError, match="worker"):
        app.worker_main(["-l", "info"])
