"""`KeyValueStoreBackend`: a store of keys and values, as written for Celery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from celeriac import states
from celeriac.compat.backends.base import BaseBackend
from celeriac.compat.backends.request import RecordedRequest
from celeriac.result import result_from_tuple
from celeriac.utils.time import utcnow_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["KeyValueStoreBackend"]


def ensure_bytes(key: Any) -> bytes:
    """A key as bytes."""
    return key if isinstance(key, bytes) else str(key).encode()


class KeyValueStoreBackend(BaseBackend):
    """A subclass has `get`, `set` and `delete`, if it can `mget`, `incr` and `expire`.

    Attributes:
        key_t: Makes keys of the kind that the store takes: bytes, unless a subclass says otherwise.
        task_keyprefix: Before the ids of tasks.
        group_keyprefix: Before the ids of groups.
        chord_keyprefix: Before the ids of chords.
    """

    key_t: ClassVar[Any] = ensure_bytes
    task_keyprefix: Any = "celery-task-meta-"
    group_keyprefix: Any = "celery-taskset-meta-"
    chord_keyprefix: Any = "chord-unlock-"
    implements_incr = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A function of the class, and no method.
        self._make_key: Callable[[Any], Any] = getattr(type(self).key_t, "__func__", type(self).key_t)
        prefix = (self.app.conf.result_backend_transport_options or {}).get("global_keyprefix", "")
        if prefix and prefix[-1] not in ":_-":
            prefix += "_"
        for name in ("task_keyprefix", "group_keyprefix", "chord_keyprefix"):
            own = getattr(type(self), name)
            own = own.decode() if isinstance(own, bytes) else own
            setattr(self, name, self._make_key(prefix + own))

    # -- for subclasses ----------------------------------------------------------------------------------------------

    def get(self, key: Any) -> Any:
        """The value of a key, or None; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define get()")

    def mget(self, keys: Sequence[Any]) -> Any:
        """Values of keys, in their order or by key; for subclasses."""
        return [self.get(key) for key in keys]

    def set(self, key: Any, value: Any) -> Any:
        """Keep a value; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define set()")

    def _set_with_state(self, key: Any, value: Any, state: str) -> Any:
        """Keep a value that tells of a state; for subclasses."""
        return self.set(key, value)

    def delete(self, key: Any) -> Any:
        """Delete; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define delete()")

    def incr(self, key: Any) -> Any:
        """Count; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not implement incr()")

    def expire(self, key: Any, value: Any) -> Any:
        """Delete after so many seconds; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not implement expire()")

    # -- keys --------------------------------------------------------------------------------------------------------

    def get_key_for_task(self, task_id: str, key: Any = "") -> Any:
        """Key of what is stored about a task."""
        return self._get_key_for(self.task_keyprefix, task_id, key)

    def get_key_for_group(self, group_id: str, key: Any = "") -> Any:
        """Key of a saved group."""
        return self._get_key_for(self.group_keyprefix, group_id, key)

    def get_key_for_chord(self, group_id: str, key: Any = "") -> Any:
        """Key of a chord."""
        return self._get_key_for(self.chord_keyprefix, group_id, key)

    def _get_key_for(self, prefix: Any, id: str, key: Any = "") -> Any:
        if not id:
            raise ValueError(f"{type(self).__name__}: the id of a task or group must not be {id!r}")
        make = self._make_key
        return make("").join([prefix, make(id), make(key)])

    def _strip_prefix(self, key: Any) -> str:
        text = key.decode() if isinstance(key, bytes) else str(key)
        for prefix in (self.task_keyprefix, self.group_keyprefix):
            start = prefix.decode() if isinstance(prefix, bytes) else prefix
            if text.startswith(start):
                return text.removeprefix(start)
        return text

    # -- what `BaseBackend` asks for ---------------------------------------------------------------------------------

    def _get_result_meta(
        self, result: Any, state: str, traceback: Any, request: Any, format_date: bool = True, encode: bool = False
    ) -> dict[str, Any]:
        """What is stored about a task, before it is encoded."""
        done = getattr(request, "date_done", None) or utcnow_iso()
        meta: dict[str, Any] = {
            "status": state,
            "result": self.encode_result(result, state) if encode else result,
            "traceback": traceback,
            "children": self.current_task_children(request),
            "date_done": done if state in states.READY_STATES else None,
        }
        for name, attribute in (("group_id", "group"), ("parent_id", "parent_id")):
            if getattr(request, attribute, None):
                meta[name] = getattr(request, attribute)
        if isinstance(request, RecordedRequest):
            return {**meta, **request.extra}
        if request is not None and self.app.conf.result_extended:
            meta.update(
                name=getattr(request, "task", None),
                args=getattr(request, "args", None),
                kwargs=getattr(request, "kwargs", None),
                worker=getattr(request, "hostname", None),
                retries=getattr(request, "retries", None),
                queue=(getattr(request, "delivery_info", None) or {}).get("routing_key"),
            )
        stamped = getattr(request, "stamped_headers", None)
        if stamped:
            meta.update(getattr(request, "stamps", None) or {}, stamped_headers=stamped)
        return meta

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        if state != states.SUCCESS and self._has_succeeded(task_id):
            return result
        meta = self._get_result_meta(result, state, traceback, request)
        meta["task_id"] = task_id
        self._set_with_state(self.get_key_for_task(task_id), self.encode(meta), state)
        return result

    def _get_task_meta_for(self, task_id: str) -> Any:
        found = self.get(self.get_key_for_task(task_id))
        return self.decode_result(found) if found else {"status": states.PENDING, "result": None}

    def _forget(self, task_id: str) -> None:
        self.delete(self.get_key_for_task(task_id))

    def _save_group(self, group_id: str, result: Any) -> Any:
        data = self.encode({"result": result.as_tuple()})
        self._set_with_state(self.get_key_for_group(group_id), data, states.SUCCESS)
        return result

    def _restore_group(self, group_id: str) -> Any:
        found = self.get(self.get_key_for_group(group_id))
        if not found:
            return None
        meta = self.decode(found)
        return {**meta, "result": result_from_tuple(meta["result"], self.app)}

    def _delete_group(self, group_id: str) -> None:
        self.delete(self.get_key_for_group(group_id))

    def get_many(
        self, task_ids: Iterable[str], timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Callable[[Any], object] | None = None, on_interval: Callable[[], object] | None = None,
        max_iterations: int | None = None, READY_STATES: Any = states.READY_STATES,  # noqa: N803 - Celery's name
    ) -> Iterator[tuple[str, Any]]:  # fmt: skip
        """Pairs of id and what is stored of tasks, as each ends.

        Raises:
            TimeoutError: Some have not ended in time.
        """
        for record in self.watch(list(task_ids), timeout=timeout):
            meta = self.get_task_meta(record.task_id)
            if on_message is not None:
                on_message(meta)
            yield record.task_id, meta
