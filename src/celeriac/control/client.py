"""`Control`: telling workers what to do (``app.control``)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from celeriac.control import revokes
from celeriac.control.conversation import DEFAULT_TIMEOUT, ConversationApp, Conversations
from celeriac.control.inspecting import Inspect
from celeriac.control.mailbox import Request
from celeriac.exceptions import CeleryWarning, OperationalError, SessionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from celeriac.broker.base import Broker
    from celeriac.broker.topology import Queue

__all__ = ["Control", "Replies", "Reply"]

#: One mapping for each node that answered, from its name to what it said.
Reply: TypeAlias = "dict[str, Any]"
Replies: TypeAlias = "list[Reply] | None"

#: Arguments that Celery has, and that have to be None.
_UNSUPPORTED = frozenset({"connection", "channel"})


class ControlApp(ConversationApp, Protocol):
    """What remote control needs of an app."""

    @property
    def broker_for_read(self) -> Broker: ...

    @property
    def queues(self) -> Any: ...


class Control:
    """Remote control of the workers of an app.

    Every method takes ``destination`` (names of nodes, as a list or a tuple; None is all) and the further options of
    `broadcast`: with ``reply=True`` it waits for answers and returns them, otherwise it returns None at once.

    Args:
        app: The app; None is the current one.
    """

    def __init__(self, app: ControlApp | None = None) -> None:
        if app is None:
            from celeriac.current import get_current_app

            current: Any = get_current_app()
            app = current
        assert app is not None  # noqa: S101 - a current app is made on demand
        self.app: ControlApp = app
        self._conversations = Conversations(app)

    def inspect(
        self,
        destination: str | Iterable[str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        callback: Callable[[Any], None] | None = None,
        connection: Any = None,
        app: Any = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> Inspect:
        """Questions to workers.

        Args:
            destination: Names of nodes; with a single name as a string, answers come without it. None is all.
            timeout: Seconds to wait for answers.
            callback: Called with each answer.
            connection: Not supported; must be None.
            app: Not supported; must be None.
            limit: Wait for no more than so many answers.
            pattern: Ask the nodes whose names match.
            matcher: ``glob`` or ``pcre``: what ``pattern`` is.
        """
        if connection is not None or app is not None:
            raise TypeError("inspect(): connection and app are not supported: leave them out")
        return Inspect(
            self, destination=destination, timeout=timeout, callback=callback, limit=limit, pattern=pattern,
            matcher=matcher,
        )  # fmt: skip

    # ------------------------------------------------------------------ sending

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Iterable[str] | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float | None = DEFAULT_TIMEOUT,
        limit: int | None = None,
        callback: Callable[[Any], None] | None = None,
        channel: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **extra_kwargs: Any,
    ) -> Replies:
        """Send a command to workers.

        Args:
            command: Its name.
            arguments: Its arguments.
            destination: Names of the nodes it is for; None is all.
            connection: Not supported; must be None.
            reply: Wait for answers.
            timeout: Seconds to wait for them; None is 1.
            limit: Wait for no more than so many.
            callback: Called with each answer.
            channel: Not supported; must be None.
            pattern: Send to the nodes whose names match.
            matcher: ``glob`` or ``pcre``: what ``pattern`` is.
            **extra_kwargs: Further arguments of the command.

        Returns:
            With ``reply``, a list of ``{node: answer}``: as soon as every node that hears it has answered where the
            broker tells how many do (all but RabbitMQ), or when the time is up. Otherwise None.

        Raises:
            TypeError: ``destination`` is a string.
            ValueError: ``matcher`` is unknown.
            OperationalError: The broker did not take it.
        """
        return self._send(
            command, {**(arguments or {}), **extra_kwargs}, destination=destination, connection=connection,
            reply=reply, timeout=timeout, limit=limit, callback=callback, channel=channel, pattern=pattern,
            matcher=matcher,
        )  # fmt: skip

    def _send(
        self,
        command: str,
        arguments: Mapping[str, Any],
        *,
        destination: Iterable[str] | None = None,
        reply: bool = False,
        timeout: float | None = DEFAULT_TIMEOUT,
        limit: int | None = None,
        callback: Callable[[Any], None] | None = None,
        kept: bool = False,
        pattern: str | None = None,
        matcher: str | None = None,
        **others: Any,
    ) -> Replies:
        if unknown := sorted(others.keys() - _UNSUPPORTED):
            raise TypeError(f"{command}: got unexpected arguments {unknown}")
        if any(value is not None for value in others.values()):
            raise TypeError(f"{command}: connection and channel are not supported: leave them out")
        if isinstance(destination, str):
            raise TypeError(f"destination is {destination!r}: give a list or a tuple of names of nodes")
        if pattern is not None and matcher not in ("glob", "pcre"):
            raise ValueError(f"matcher is {matcher!r}: with a pattern, say 'glob' or 'pcre'")
        nodes = None if destination is None else list(destination)
        if not reply:
            self._conversations.tell(Request(command, arguments, nodes, pattern, matcher, kept=kept))
            return None
        return self._conversations.ask(
            command, arguments, timeout=DEFAULT_TIMEOUT if timeout is None else timeout, limit=limit,
            callback=callback, destination=nodes, pattern=pattern, matcher=matcher, kept=kept,
        )  # fmt: skip

    # ------------------------------------------------------------------ nodes

    def ping(
        self, destination: Iterable[str] | None = None, timeout: float = DEFAULT_TIMEOUT, **kwargs: Any
    ) -> list[Reply]:
        """Ask nodes whether they are there.

        Args:
            destination: Names of nodes; None is all.
            timeout: Seconds to wait.
            **kwargs: As for `broadcast`.

        Returns:
            ``[{"worker1@host": {"ok": "pong"}}, ...]``.
        """
        return self._send("ping", {}, destination=destination, timeout=timeout, reply=True, **kwargs) or []

    def shutdown(self, destination: Iterable[str] | None = None, **kwargs: Any) -> Replies:
        """Have workers finish what runs and leave. They do not answer."""
        return self._send("shutdown", {}, destination=destination, **kwargs)

    def heartbeat(self, destination: Iterable[str] | None = None, **kwargs: Any) -> Replies:
        """Have workers send an event that they are alive."""
        return self._send("heartbeat", {}, destination=destination, **kwargs)

    def enable_events(self, destination: Iterable[str] | None = None, **kwargs: Any) -> Replies:
        """Have workers send events about tasks."""
        return self._send("enable_events", {}, destination=destination, **kwargs)

    def disable_events(self, destination: Iterable[str] | None = None, **kwargs: Any) -> Replies:
        """Have workers send no more events about tasks."""
        return self._send("disable_events", {}, destination=destination, **kwargs)

    def election(self, id: str, topic: str, action: Any = None, connection: Any = None) -> None:
        """Have workers choose one of them for an action.

        Raises:
            NotImplementedError: Always: elections are held by gossip between workers, which this version does without.
        """
        raise NotImplementedError(
            f"election({id!r}, {topic!r}): workers of this version do not gossip, so they elect nobody; "
            "use a lock in your database, or beat for what is to happen once"
        )

    # ------------------------------------------------------------------ pools

    def pool_grow(self, n: int = 1, destination: Iterable[str] | None = None, **kwargs: Any) -> Replies:
        """Have workers run more tasks at once.

        Args:
            n: How many more.
            destination: Names of nodes; None is all.
            **kwargs: As for `broadcast`.
        """
        return self._send("pool_grow", {"n": n}, destination=destination, **kwargs)

    def pool_shrink(self, n: int = 1, destination: Iterable[str] | None = None, **kwargs: Any) -> Replies:
        """Have workers run fewer tasks at once.

        Args:
            n: How many fewer.
            destination: Names of nodes; None is all.
            **kwargs: As for `broadcast`.
        """
        return self._send("pool_shrink", {"n": n}, destination=destination, **kwargs)

    def pool_restart(
        self,
        modules: Iterable[str] | None = None,
        reload: bool = False,
        reloader: Callable[..., Any] | None = None,
        destination: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> Replies:
        """Replace the child processes of workers (needs ``worker_pool_restarts``).

        Args:
            modules: Modules that the worker imports first.
            reload: Reload those it has imported already.
            reloader: Not supported on the wire; must be None.
            destination: Names of nodes; None is all.
            **kwargs: As for `broadcast`.
        """
        arguments = {"modules": None if modules is None else list(modules), "reload": reload, "reloader": reloader}
        return self._send("pool_restart", arguments, destination=destination, **kwargs)

    def autoscale(self, max: int, min: int, destination: Iterable[str] | None = None, **kwargs: Any) -> Replies:
        """Change the bounds of workers that scale by themselves.

        Args:
            max: Tasks at once at most.
            min: Tasks at once at least.
            destination: Names of nodes; None is all.
            **kwargs: As for `broadcast`.
        """
        return self._send("autoscale", {"max": max, "min": min}, destination=destination, **kwargs)

    # ------------------------------------------------------------------ queues

    def add_consumer(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str = "direct",
        routing_key: str | None = None,
        options: Mapping[str, Any] | None = None,
        destination: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> Replies:
        """Have workers consume one more queue.

        Args:
            queue: Its name.
            exchange: Exchange it is bound to; None is one of its own name.
            exchange_type: Type of that exchange.
            routing_key: Key of the binding; None is the name of the queue.
            options: Further attributes of the queue.
            destination: Names of nodes; None is all.
            **kwargs: As for `broadcast`.
        """
        arguments = {
            "queue": queue, "exchange": exchange, "exchange_type": exchange_type, "routing_key": routing_key,
            **(options or {}),
        }  # fmt: skip
        return self._send("add_consumer", arguments, destination=destination, **kwargs)

    def cancel_consumer(self, queue: str, destination: Iterable[str] | None = None, **kwargs: Any) -> Replies:
        """Have workers stop consuming a queue.

        Args:
            queue: Its name.
            destination: Names of nodes; None is all.
            **kwargs: As for `broadcast`.
        """
        return self._send("cancel_consumer", {"queue": queue}, destination=destination, **kwargs)

    def purge(self, connection: Any = None) -> int:
        """Delete the messages that wait in the queues of the app; returns how many there were.

        Args:
            connection: Not supported; must be None.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        if connection is not None:
            raise TypeError("purge(): connection is not supported: leave it out")
        session = self.app.broker_for_read.connect()
        try:
            queues: list[Queue] = list(self.app.queues.consume_from.values())
            return sum(session.purge(queue.name) for queue in queues)
        finally:
            session.close()

    discard_all = purge

    # ------------------------------------------------------------------ tasks

    def rate_limit(
        self, task_name: str, rate_limit: str | float | None, destination: Iterable[str] | None = None, **kwargs: Any
    ) -> Replies:
        """Change how often workers begin a task.

        Args:
            task_name: Name of the task.
            rate_limit: Such as ``10/m``, for each worker; 0 or None is unlimited.
            destination: Names of nodes; None is all.
            **kwargs: As for `broadcast`.
        """
        arguments = {"task_name": task_name, "rate_limit": rate_limit}
        return self._send("rate_limit", arguments, destination=destination, **kwargs)

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> Replies:
        """Change the time limits of a task.

        Args:
            task_name: Name of the task.
            soft: Seconds; None is none.
            hard: Seconds; None is none.
            destination: Names of nodes; None is all.
            **kwargs: As for `broadcast`.
        """
        arguments = {"task_name": task_name, "hard": hard, "soft": soft}
        return self._send("time_limit", arguments, destination=destination, **kwargs)

    def revoke(
        self,
        task_id: str | Iterable[str],
        destination: Iterable[str] | None = None,
        terminate: bool = False,
        signal: str | int | None = "SIGTERM",
        **kwargs: Any,
    ) -> Replies:
        """Have tasks not run.

        That is kept in the broker, so that it also holds for workers that are not up yet and for delayed tasks.

        Args:
            task_id: Id of the task, or several.
            destination: Only these nodes are told, and nothing is kept.
            terminate: Also end the process that runs it.
            signal: Signal to end it with.
            **kwargs: As for `broadcast`.

        Raises:
            OperationalError: The broker did not take it.
        """
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        kept = self._keep(revokes.IDS, ids) if destination is None and not kwargs.get("pattern") else False
        arguments = {
            "task_id": task_id if isinstance(task_id, str) else ids, "terminate": terminate,
            "signal": signal or "SIGTERM",
        }  # fmt: skip
        return self._send("revoke", arguments, destination=destination, kept=kept, **kwargs)

    def terminate(
        self,
        task_id: str | Iterable[str],
        destination: Iterable[str] | None = None,
        signal: str | int | None = "SIGTERM",
        **kwargs: Any,
    ) -> Replies:
        """Have tasks not run, and end the processes that run them. See `revoke`."""
        return self.revoke(task_id, destination=destination, terminate=True, signal=signal, **kwargs)

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        destination: Iterable[str] | None = None,
        terminate: bool = False,
        signal: str | int | None = "SIGTERM",
        **kwargs: Any,
    ) -> Replies:
        """Have tasks not run that carry one of some stamps. Kept in the broker as by `revoke`.

        Args:
            headers: Names of stamps, and a value or a list of values for each.
            destination: Only these nodes are told, and nothing is kept.
            terminate: Also end the processes that run them.
            signal: Signal to end them with.
            **kwargs: As for `broadcast`.

        Raises:
            OperationalError: The broker did not take it.
        """
        stamps = [revokes.pack_stamp(stamp) for stamp in revokes.stamps_of(headers)]
        kept = self._keep(revokes.STAMPS, stamps) if destination is None and not kwargs.get("pattern") else False
        arguments = {"headers": dict(headers), "terminate": terminate, "signal": signal or "SIGTERM"}
        return self._send("revoke_by_stamped_headers", arguments, destination=destination, kept=kept, **kwargs)

    def _keep(self, topic: str, notices: list[str]) -> bool:
        """Keep what is revoked in the broker; False where it cannot, so that only running workers know of it."""
        try:
            self._conversations.keep(topic, notices, revokes.revoke_expires())
        except SessionLost:
            raise
        except OperationalError as exc:
            warnings.warn(
                f"only the workers that are up will know what was revoked, because the broker cannot keep it: {exc}",
                CeleryWarning,
                stacklevel=4,
            )
            return False
        return True
