"""The nodes that ``celeriac multi`` looks after: names, options for some of them, and their command lines."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from celeriac.platform.pidfile import read_pid
from celeriac.utils.dataclass import dataclass, field
from celeriac.utils.nodenames import gethostname, nodename, nodesplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: What a node is given where the command line says nothing else.
DEFAULT_PIDFILE: Final = "/var/run/celery/%n.pid"
DEFAULT_LOGFILE: Final = "/var/log/celery/%n%I.log"
DEFAULT_COMMAND: Final = "-m celeriac"
DEFAULT_VERB: Final = "worker --detach"

#: Short options and the long ones they stand for.
_LONG: Final = {"-n": "--hostname", "-f": "--logfile", "-A": "--app"}
#: Options of the program as a whole, which go before ``worker``.
GLOBAL: Final = frozenset(
    "-A --app -b --broker --result-backend --loader --config --workdir -C --no-color -q --quiet".split()  # noqa: SIM905
)
#: Options of ``multi`` that name nodes.
_NAMING: Final = frozenset({"--suffix", "--prefix", "--range-prefix", "--cmd", "--append"})


class UnknownNode(KeyError):
    """An option is for a node that there is not.

    Args:
        option: The option.
        node: What it says after the colon.
        names: The nodes that there are.
    """

    def __init__(self, option: str, node: str, names: Sequence[str]) -> None:
        super().__init__(option, node)
        self.message = f"{option}:{node} is for a node that there is not; there are {', '.join(names)}"

    def __str__(self) -> str:
        return self.message


@dataclass
class Arguments:
    """What follows the verb, taken apart.

    Attributes:
        names: Names of nodes, or one number of them.
        options: Options of every node; None for a flag.
        own: Options of some nodes, by what stands after the colon.
        rest: What follows ``--``, for every node.
    """

    names: list[str] = field(default_factory=list)
    options: dict[str, str | None] = field(default_factory=dict)
    own: dict[str, dict[str, str | None]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)


def parse(argv: Sequence[str], flags: frozenset[str]) -> Arguments:
    """Take the arguments apart.

    Args:
        argv: What follows the verb.
        flags: Options that take no value; any other short option takes the next argument as its value, and so does a
            long one unless it is written with ``=``.
    """
    found, left = Arguments(), list(argv)
    while left:
        word = left.pop(0)
        if word == "--":
            found.rest = left
            break
        if not word.startswith("-") or word == "-":
            found.names.append(word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option, colon, nodes = name.partition(":")
        if not equals and not option.startswith("--") and len(option) > 2:
            # ``-c3``: the value follows at once.
            option, equals, value = option[:2], "=", option[2:]
        given: str | None = value
        if not equals:
            takes_value = option not in flags and left and not _is_option(left[0])
            given = left.pop(0) if takes_value else None
        target = found.own.setdefault(nodes, {}) if colon else found.options
        target[_LONG.get(option, option)] = given
    return found


def _is_option(word: str) -> bool:
    """Whether a word is an option, and not a negative number."""
    return word.startswith("-") and not re.fullmatch(r"-\d+(\.\d+)?", word)


@dataclass
class Node:
    """One worker.

    Attributes:
        name: ``name@host``.
        options: Its options, pid file and log file among them.
        rest: Further arguments.
        executable: Python interpreter.
        command: What comes after the interpreter, and the verb; see `DEFAULT_COMMAND`.
    """

    name: str
    options: dict[str, str | None]
    rest: Sequence[str]
    executable: str
    command: tuple[str, str]

    @property
    def pidfile(self) -> Path:
        """Where its process id is kept."""
        return Path(self.expand(self.options["--pidfile"] or DEFAULT_PIDFILE)).expanduser()

    @property
    def pid(self) -> int | None:
        """Its process, by the pid file."""
        return read_pid(self.pidfile)

    @property
    def arguments(self) -> list[str]:
        """Its command line."""
        program, verb = self.command
        before = [word for name, value in self.options.items() if name in GLOBAL for word in _words(name, value)]
        after = [word for name, value in self.options.items() if name not in GLOBAL for word in _words(name, value)]
        words = [*shlex.split(program), *before, *shlex.split(verb), *after, *self.rest]
        return [self.executable, *(self.expand(word) for word in words)]

    def expand(self, template: str) -> str:
        """Fill in ``%n`` or ``%N``, ``%h`` and ``%d``; ``%i`` and ``%I`` are the worker's to fill in."""
        short, host = nodesplit(self.name)
        known = {"n": short or self.name, "N": short or self.name, "h": self.name, "p": self.name, "d": host, "%": "%"}
        return re.sub(r"%([nNhpd%])", lambda found: known[found[1]], template)

    def make_directories(self) -> None:
        """Make the directories of its files.

        Raises:
            OSError: One cannot be made.
        """
        for option in ("--pidfile", "--logfile"):
            path = self.options[option]
            if path:
                Path(self.expand(path)).expanduser().parent.mkdir(parents=True, exist_ok=True)


def _words(name: str, value: str | None) -> list[str]:
    if value is None:
        return [name]
    return [f"{name}={value}"] if name.startswith("--") else [name, value]


def make_nodes(given: Arguments, defaults: Mapping[str, str | None]) -> list[Node]:
    """The nodes that arguments name.

    Args:
        given: The arguments.
        defaults: Options of the program that stood before ``multi``.

    Raises:
        UnknownNode: An option is for a node that there is not.
    """
    options = {**defaults, **given.options}
    naming = {name: options.pop(name, None) for name in _NAMING}
    suffix = naming["--suffix"]
    host = suffix if suffix is not None else (options.pop("--hostname", None) or gethostname())
    options.pop("--hostname", None)
    host = "" if host in ('""', "''") else host
    names, counted = _names(given.names, naming["--range-prefix"] or "celery")
    command = (DEFAULT_COMMAND, DEFAULT_VERB) if not naming["--cmd"] else (naming["--cmd"], "")
    rest = [*shlex.split(naming["--append"] or ""), *given.rest]
    own: dict[str, dict[str, str | None]] = {name: {} for name in names}
    for which, extra in given.own.items():
        for name in _chosen(which, names, counted, next(iter(extra))):
            own[name].update(extra)
    executable = options.pop("--executable", None) or sys.executable
    nodes = []
    for name in names:
        full = name if "@" in name else nodename((naming["--prefix"] or "") + name, host)
        mine: dict[str, str | None] = {"--pidfile": DEFAULT_PIDFILE, "--logfile": DEFAULT_LOGFILE, **options}
        mine |= own[name]
        if own[name].get("--hostname"):
            full = nodename(nodesplit(full)[0] or name, str(own[name]["--hostname"]))
        mine["--hostname"] = full.replace("%", "%%")
        mine["--executable"] = mine.get("--executable") or executable
        for path in ("--pidfile", "--logfile"):
            mine[path] = os.path.expanduser(str(mine[path]))  # noqa: PTH111 - a template, not yet a path
        nodes.append(Node(full, mine, rest, executable, command))
    return nodes


def _names(given: Sequence[str], prefix: str) -> tuple[list[str], bool]:
    """The names, and whether they came of a number."""
    if len(given) == 1 and given[0].isdigit():
        return [f"{prefix}{number}" for number in range(1, int(given[0]) + 1)], True
    return list(given), False


def _chosen(which: str, names: Sequence[str], counted: bool, option: str) -> Iterator[str]:
    """Names that ``1-3``, ``1,2`` or ``images,mail`` stands for."""
    for part in which.split(","):
        first, dash, last = part.partition("-")
        if counted and dash and first.isdigit() and last.isdigit():
            numbers = range(int(first), int(last) + 1)
        elif part.isdigit():
            numbers = range(int(part), int(part) + 1)
        elif part in names:
            yield part
            continue
        else:
            raise UnknownNode(option, part, names)
        for number in numbers:
            if not 1 <= number <= len(names):
                raise UnknownNode(option, str(number), names)
            yield names[number - 1]
