"""The spawner: a single-threaded process that forks children on request, reaps them and reports.

The coordinator has threads, and forking a process with threads is unsafe; so it forks this process first, with the
app imported and finalized, and asks it for every child.  Children share the app's memory, replacements included.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

from celeriac import signals
from celeriac.pool.child import child_main
from celeriac.utils.process import die_with_parent, release_free_memory, set_process_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.current import AppLike

#: Request: index of the child, jobs it runs at once; its socket and its pipe of permits travel with it.
REQUEST: Final = struct.Struct("!II")
#: In place of an index: no child is wanted; the capacity is the size of what follows, modules to import and whether
#: to run those again that are imported, as JSON.
REFRESH: Final = 0
#: Report: kind, index, pid, wait status.
REPORT: Final = struct.Struct("!cIIi")
SPAWNED: Final = b"U"
EXITED: Final = b"X"
FAILED: Final = b"F"


class NewProcess:
    """A child that is about to be forked, as ``worker_before_create_process`` tells of it.

    Args:
        index: Number of its slot.
        hostname: Node name of the worker.
    """

    def __init__(self, index: int, hostname: str) -> None:
        self.index = index
        self.hostname = hostname
        self.name = f"ForkPoolWorker-{index}"


class Spawner:
    """The program of the spawner process.

    Args:
        app: The finalized application; None where children make their own.
        hostname: Node name of the worker.
        control: Socket to the coordinator.
        options: Options of each child.
    """

    def __init__(self, app: Any, hostname: str, control: socket.socket, options: dict[str, Any]) -> None:
        self._app = app
        self._hostname = hostname
        self._control = control
        self._options = options
        self._children: dict[int, int] = {}

    def run(self) -> None:
        """Serve until the coordinator closes the socket; then kill what is left."""
        wake_in, wake_out = os.pipe()
        os.set_blocking(wake_out, False)
        os.set_blocking(wake_in, False)
        signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake_in, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in poll.poll()}
                if wake_in in ready:
                    os.read(wake_in, 4096)
                self._reap()
                if self._control.fileno() in ready and not self._serve():
                    break
        finally:
            self._kill_all()

    def _serve(self) -> bool:
        """Start one child; False when the coordinator is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, REQUEST.size, 2)
        except OSError:
            return False
        if len(data) < REQUEST.size:
            return False
        index, capacity = REQUEST.unpack(data)
        if index == REFRESH:
            self._take_order(capacity)
            return True
        if signals.worker_before_create_process.receivers:
            signals.worker_before_create_process.send(sender=NewProcess(index, self._hostname))
        try:
            pid = self.start_child(index, capacity, fds)
        except OSError as exc:
            self._report(FAILED, index, 0, exc.errno or 0)
        else:
            self._children[pid] = index
            self._report(SPAWNED, index, pid, 0)
        for fd in fds:
            os.close(fd)
        return True

    def _take_order(self, size: int) -> None:
        modules, reload = json.loads(self._control.recv(size, socket.MSG_WAITALL))
        try:
            self.refresh(modules, reload=reload)
        except Exception:
            logging.getLogger(__name__).critical(
                "pool_restart: importing %s failed; children have the code that was there before",
                modules,
                exc_info=True,
            )

    def refresh(self, modules: Sequence[str], *, reload: bool) -> None:
        """Import modules here, so that the next children have them.

        Raises:
            Exception: What importing one of them raises.
        """
        # Only pools that are restarted with modules need it.
        from celeriac.app.reloading import refresh

        refresh(self._app, modules, reload=reload)

    def start_child(self, index: int, capacity: int, fds: list[int]) -> int:
        """Start one child, and give its pid.

        Args:
            index: Its number.
            capacity: Jobs that it runs at once.
            fds: Its socket and its pipe of permits.
        """
        pid = os.fork()
        if pid == 0:
            self._become_child(index, capacity, fds)
        return pid

    def _become_child(self, index: int, capacity: int, fds: list[int]) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            parent = os.getppid()
            die_with_parent()
            if os.getppid() != parent:
                os._exit(1)
            self._control.close()
            sock = socket.socket(fileno=fds[0])
            options = {**self._options, "capacity": capacity}
            status = child_main(self._app, index, self._hostname, sock, fds[1], options)
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            index = self._children.pop(pid, None)
            if index is not None:
                self._report(EXITED, index, pid, status)

    def _report(self, kind: bytes, index: int, pid: int, status: int) -> None:
        try:
            self._control.sendall(REPORT.pack(kind, index, pid, status))
        except OSError:
            # The coordinator is gone: the next poll sees the end of the socket.
            return

    def _kill_all(self) -> None:
        for pid in self._children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def fork_spawner(app: AppLike, hostname: str, options: dict[str, Any]) -> tuple[int, socket.socket]:
    """Fork the spawner. Call while this process has a single thread.

    Returns:
        Its pid and the control socket.
    """
    ours, theirs = socket.socketpair()
    # What is there now stays for good: left out of collections, its pages stay shared with the children.
    gc.collect()
    gc.freeze()
    release_free_memory()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    status = 1
    try:
        ours.close()
        parent = os.getppid()
        die_with_parent()
        if os.getppid() == parent:
            # A process group of their own: Ctrl-C, and signals sent to the worker's group, are the coordinator's.
            os.setpgid(0, 0)
            set_process_name("Spawner", hostname)
            Spawner(app, hostname, theirs, options).run()
            status = 0
    except BaseException:
        logging.getLogger(__name__).critical("The spawner died of an internal error", exc_info=True)
    finally:
        os._exit(status)
