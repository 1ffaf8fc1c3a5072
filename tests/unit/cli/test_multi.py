"""``celeriac multi``: which nodes there are and how each would be started; no node is started."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from celeriac.cli.nodes import UnknownNode, make_nodes, parse
from celeriac.utils.nodenames import gethostname

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from celeriac.cli.nodes import Node

    Cli = Callable[..., tuple[int, str, str]]

FLAGS = frozenset({"-E", "--events", "-B"})


def nodes(line: str) -> dict[str, Node]:
    """Nodes by their short name."""
    return {node.name.partition("@")[0]: node for node in make_nodes(parse(shlex.split(line), FLAGS), {})}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("3", ["celery1", "celery2", "celery3"]),
        ("2 --range-prefix=node", ["node1", "node2"]),
        ("images mail", ["images", "mail"]),
        ("lone", ["lone"]),
        ("a b --prefix=w-", ["w-a", "w-b"]),
    ],
)
def test_nodes_are_named_or_counted(line: str, names: list[str]) -> None:
    assert list(nodes(line)) == names


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("a", f"a@{gethostname()}"),
        ("a --suffix=elsewhere", "a@elsewhere"),
        ("a --hostname=elsewhere", "a@elsewhere"),
        ("a -n elsewhere", "a@elsewhere"),
        ("a@there --suffix=elsewhere", "a@there"),
        ("""a --suffix='""'""", "a@"),
    ],
)
def test_host_is_the_suffix(line: str, name: str) -> None:
    (node,) = nodes(line).values()
    assert node.name == name
    assert f"--hostname={name}" in node.arguments


@pytest.mark.parametrize(
    ("line", "having"),
    [
        ("3 -c:1 9", ["celery1"]),
        ("3 -c:1,3 9", ["celery1", "celery3"]),
        ("4 -c:2-3 9", ["celery2", "celery3"]),
        ("a b -c:b 9", ["b"]),
        ("a b -c:2 9", ["b"]),
        ("a b -c 9", ["a", "b"]),
        ("a b -c9", ["a", "b"]),
    ],
)
def test_options_are_for_every_node_or_for_some(line: str, having: list[str]) -> None:
    assert [name for name, node in nodes(line).items() if "-c" in node.arguments] == having
    assert all(node.options.get("-c") in (None, "9") for node in nodes(line).values())


@pytest.mark.parametrize(("line", "text"), [("2 -c:3 9", "-c:3 "), ("2 -c:0 9", "-c:0 "), ("a b -Q:c x", "-Q:c ")])
def test_options_for_a_node_that_is_not_there_are_refused(line: str, text: str) -> None:
    with pytest.raises(UnknownNode) as caught:
        nodes(line)
    assert str(caught.value).startswith(text)


def test_flags_take_no_name_of_a_node_as_their_value() -> None:
    assert list(nodes("-E a --events b")) == ["a", "b"]


def test_options_of_the_program_go_before_the_worker() -> None:
    (node,) = nodes("a -A proj -l INFO --workdir=/srv -- --extra x").values()
    words = node.arguments
    assert words[:3] == [sys.executable, "-m", "celeriac"]
    assert words.index("--app=proj") < words.index("worker") < words.index("-l")
    assert words.index("--workdir=/srv") < words.index("worker")
    assert words[-2:] == ["--extra", "x"]


def test_files_are_expanded_for_each_node(tmp_path: Path) -> None:
    node = nodes(f"a b --pidfile={tmp_path}/%n.pid --logfile={tmp_path}/%h/%n%I.log")["b"]
    assert node.pidfile == tmp_path / "b.pid"
    assert f"--logfile={tmp_path}/{node.name}/b%I.log" in node.arguments
    node.make_directories()
    assert (tmp_path / node.name).is_dir()


def test_another_command_can_be_run() -> None:
    (node,) = nodes("a --cmd='-m other run' --executable=/bin/py --append=more").values()
    assert node.arguments[:4] == ["/bin/py", "-m", "other", "run"]
    assert "more" in node.arguments


def test_show_names_get_and_expand_print(cli: Cli) -> None:
    assert cli("multi", "names", "a", "b", "--suffix=x") == (0, "a@x\nb@x\n", "")
    assert cli("multi", "expand", "%n on %d", "a", "--suffix=x") == (0, "a on x\n", "")
    code, shown, _ = cli("multi", "show", "2", "-A", "proj")
    assert (code, shown.count("--app=proj")) == (0, 2)
    assert cli("multi", "get", "celery2", "2", "-A", "proj")[1] == shown.splitlines(keepends=True)[1]


def test_app_before_the_command_is_handed_on(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "proj.py").write_text("from celeriac import Celery\napp = Celery('proj')\n")
    assert "--app=proj" in cli("-A", "proj", "multi", "show", "1")[1]


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["frob", "2"], 2, "there is no verb 'frob'"),
        (["start"], 2, "name the nodes"),
        (["show", "2", "-c:7", "3"], 2, "-c:7 is for a node that there is not"),
        (["get", "c", "a", "b"], 1, "there is no node 'c'"),
    ],
)
def test_wrong_usage_is_explained(cli: Cli, argv: list[str], code: int, text: str) -> None:
    found, _, err = cli("multi", *argv)
    assert found == code
    assert text in err


def test_nodes_without_a_process_are_down(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.pid").write_text("999999999\n")
    for verb in ("stop", "stopwait"):
        code, out, _ = cli("multi", verb, "a", "b", f"--pidfile={tmp_path}/%n.pid", "--suffix=x")
        assert code == 0
        assert "> a@x: DOWN" in out
        assert "> b@x: DOWN" in out


def test_node_that_does_not_start_is_told(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli(
        "multi", "start", "a", "--nosplash", "--suffix=x", f"--pidfile={tmp_path}/p", f"--logfile={tmp_path}/l",
        "--cmd=-c 'raise SystemExit(3)'",
    )  # fmt: skip
    assert code == 1
    assert "a@x: FAILED" in out
    assert "exit code 3" in err


def test_own_process_can_be_signalled_by_name_or_number(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("celeriac.cli.multi.os.kill", lambda pid, number: sent.append((pid, int(number))))
    (tmp_path / "a.pid").write_text(f"{os.getpid()}\n")
    for word in ("-9", "-QUIT", "-SIGINT", "--verbose"):
        cli("multi", "stop", "a", word, f"--pidfile={tmp_path}/%n.pid")
    assert [number for _, number in sent if number] == [9, 3, 2, 15]
