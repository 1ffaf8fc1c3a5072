"""Children started by exec of a fresh interpreter, that imports the application for itself, and not by a fork.

Nothing is inherited but three descriptors: threads, locks and connections of the worker stay where they are, and a
library of greenlets can patch the interpreter before anything else is imported.  Frames, permits and the spawner's
reports are those of forked children.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import signal
import socket
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.pool.spawner import Spawner
from celeriac.utils.process import die_with_parent, set_process_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.pool.recipe import Recipe

#: The first lines of an interpreter, by the library that patches it.
PATCHES: Final = {
    "": "",
    "gevent": "import gevent.monkey; gevent.monkey.patch_all(); ",
    "eventlet": "import eventlet; eventlet.monkey_patch(); ",
}
#: Signals that the spawner ignores, and its children are not to.
_SIGNALS: Final = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip


def check_library(name: str) -> None:
    """Refuse a pool whose library is missing. It is not imported: it belongs into the child.

    Raises:
        ImproperlyConfigured: It is not installed.
    """
    if PATCHES.get(name) and importlib.util.find_spec(name) is None:
        raise ImproperlyConfigured(
            f"the pool {name!r} needs the package of that name, which is not installed: "
            f"run `pip install 'celeriac[{name}]'`"
        )


def start_spawner(
    recipe: Recipe,
    hostname: str,
    options: dict[str, Any],
    library: str = "",
    prepare: Callable[[], None] | None = None,
) -> tuple[int, socket.socket]:
    """Start a spawner that starts children by exec; threads do not matter.

    Args:
        recipe: The application.
        hostname: Node name of the worker.
        options: Options of each child.
        library: What patches the children first: ``gevent``, ``eventlet`` or nothing.
        prepare: A function of a module, called in each child when it has its application.

    Returns:
        Its pid and the control socket.
    """
    ours, theirs = socket.socketpair()
    with theirs, tempfile.TemporaryFile() as told:
        told.write(pickle.dumps((hostname, library, options, pickle.dumps((recipe, prepare)))))
        told.flush()
        pid = _execute("spawner_program", "", (theirs.fileno(), told.fileno()), new_group=True)
    return pid, ours


def _execute(function: str, patch: str, fds: tuple[int, ...], *words: object, new_group: bool = False) -> int:
    """Start an interpreter that calls a function of this module; gives its pid."""
    for fd in fds:
        os.set_inheritable(fd, True)
    flags = [f"-W{option}" for option in sys.warnoptions]
    flags += [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()]
    # -P: a file of the user's that is called gevent.py is not the library.
    command = [sys.executable, *flags, "-P", "-c", f"{patch}from celeriac.pool.fresh import {function}; {function}()"]
    group: dict[str, Any] = {"setpgroup": 0} if new_group else {}
    return os.posix_spawn(
        sys.executable, [*command, *map(str, (*fds, *words))], os.environ, setsigdef=_SIGNALS, setsigmask=(), **group
    )


def _told(fd: int) -> tuple[str, str, dict[str, Any], bytes]:
    """What `start_spawner` wrote; the offset of the file is shared, and stays where it is."""
    found: tuple[str, str, dict[str, Any], bytes] = pickle.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    return found


class FreshSpawner(Spawner):
    """A spawner whose children are interpreters of their own.

    Args:
        control: Socket to the coordinator.
        told: File that tells children what they are.
    """

    def __init__(self, control: socket.socket, told: int) -> None:
        self._told = told
        hostname, library, options, _ = _told(told)
        self._patch = PATCHES[library]
        self._modules: list[str] = []
        super().__init__(None, hostname, control, options)

    def start_child(self, index: int, capacity: int, fds: list[int]) -> int:
        fixed = fds[0], fds[1], self._told
        return _execute("child_program", self._patch, fixed, index, capacity, *self._modules)

    def refresh(self, modules: Sequence[str], *, reload: bool) -> None:
        # Each child imports the code that is there when it begins.
        self._modules = list(dict.fromkeys((*self._modules, *modules)))


def spawner_program() -> None:
    """The spawner's process."""
    die_with_parent()
    control, told = map(int, sys.argv[1:])
    os.set_inheritable(control, False)
    spawner = FreshSpawner(socket.socket(fileno=control), told)
    set_process_name("Spawner", _told(told)[0])
    spawner.run()


def child_program() -> None:
    """The process of one child."""
    parent = os.getppid()
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    # Not earlier: the spawner needs none of it.
    from celeriac.app.reloading import refresh
    from celeriac.pool.child import EXIT_INIT_FAILED, child_main

    sock, permits, told, index, capacity = map(int, sys.argv[1:6])
    words = sys.argv[6:]
    for fd in (sock, permits, told):
        os.set_inheritable(fd, False)
    status = EXIT_INIT_FAILED
    try:
        hostname, _, options, recipe = _told(told)
        made, prepare = pickle.loads(recipe)
        app = made.make()
        refresh(app, words, reload=False)
        if prepare is not None:
            prepare()
        options = {**options, "capacity": capacity}
        status = child_main(app, index, hostname, socket.socket(fileno=sock), permits, options)
    except Exception:
        logging.getLogger(__name__).critical("The child cannot import the application", exc_info=True)
    finally:
        # As after a fork: what the interpreter does at its end could wait for threads of tasks.
        os._exit(status)
