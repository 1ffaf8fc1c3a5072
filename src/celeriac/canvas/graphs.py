"""The rest of a workflow, kept in the result store once instead of in each of its messages.

What is longer than ``task_graph_inline_max`` is cut into blocks. Each ends with a reference to the next one, and of its
steps all but the first fit into a message; so nothing is written more than a few times, however long the workflow is.

A reference is a signature of `RESUME` on the wire. Workers of Celeriac read the block in its place; one of Celery sends
it as a task, which a worker of Celeriac runs (`celeriac.execution.follow_up`).
"""

from __future__ import annotations

import logging
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from os import urandom
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import BackendStoreError, GraphMissing, OperationalError, SerializationError
from celeriac.serialization.compression import compress, decompress
from celeriac.serialization.serializers import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.current import AppLike
    from celeriac.serialization.codecs import Serializer

__all__ = ["RESUME", "body_of", "end_of", "is_reference", "kept_apart", "may_keep_apart", "read", "shared_body"]

logger = logging.getLogger(__name__)

#: Task of a reference.
RESUME: Final = "celeriac.resume"
#: What a block begins with.
_PLAIN: Final = b"\0"
_COMPRESSED: Final = b"\1"
#: Bytes of a block from which on compressing it is worth the time.
_COMPRESSED_FROM: Final = 4096
#: What the last step of a block says about who waits for it. The reference says the same.
_OF_LAST: Final = ("task_id", "group_id", "group_index", "chord", "ignore_result")
#: Where the first step of a block goes, where the reference is to go too.
_OF_FIRST: Final = ("queue", "exchange", "routing_key", "priority")


def is_reference(step: Any) -> bool:
    """Whether a step stands for steps in the result store."""
    return bool(step.get("task") == RESUME and not step.get("subtask_type"))


def may_keep_apart(app: AppLike) -> bool:
    """Whether the settings and the result store allow it."""
    if app.conf.task_graph_inline_max is None:
        return False
    capabilities = app.backend.capabilities
    return capabilities.graphs and not capabilities.in_process


def kept_apart(app: AppLike, chain: list[Any]) -> list[Any]:
    """What messages are to carry for the rest of a chain: itself if it is short, else a reference to what is stored.

    It stays as it is, as in Celery, where ``task_graph_inline_max`` is None, and where the result store cannot keep it,
    is of this process only, or cannot be reached.

    Args:
        app: The application.
        chain: Frozen steps, the next one last.
    """
    if all(map(is_reference, chain)) or not may_keep_apart(app):
        return chain
    limit = app.conf.task_graph_inline_max
    serializer = app.serializers.by_name(app.conf.task_serializer)
    try:
        sizes = [len(serializer.dumps(step)) for step in chain]
        if sum(sizes) <= limit:
            return chain
        reference: Any = None
        stored: dict[str, bytes] = {}
        for block in reversed(_blocks(chain, sizes, limit)):
            steps = [*block, reference][::-1] if reference is not None else block[::-1]
            graph_id = _new_id()
            stored[graph_id] = _packed(serializer, steps)
            reference = _reference(app, graph_id, block[0], steps[0])
    except SerializationError:
        # A task with a serializer of its own may be able to write it; if not, sending it says so.
        return chain
    return [reference] if _keep(app, stored) else chain


def shared_body(app: AppLike, body: Any, members: int) -> Any:
    """What the messages of a header are to carry for the body of their chord: itself, or a reference to what is stored.

    A body that fits into a message stays there unless it refers to something itself, so that workers of Celery can send
    those that they can run.

    Args:
        app: The application.
        body: The body, frozen.
        members: Number of messages.
    """
    if is_reference(body) or not may_keep_apart(app):
        return body
    body = _with_inner_body_apart(app, body)
    graph_id = _new_id()
    reference = _reference(app, graph_id, body, body)
    serializer = app.serializers.by_name(app.conf.task_serializer)
    try:
        size, limit = len(serializer.dumps(body)), app.conf.task_graph_inline_max
        inner = body["kwargs"].get("body") if body.get("subtask_type") == "chord" else None
        refers = any(map(is_reference, (*(body["options"].get("chain") or ()), *((inner,) if inner else ()))))
        if not (refers or size > limit) or (size - len(serializer.dumps(reference))) * members <= limit:
            return body
        stored = {graph_id: _packed(serializer, [body])}
    except SerializationError:
        return body
    return reference if _keep(app, stored) else body


def _with_inner_body_apart(app: AppLike, body: Any) -> Any:
    """A body; of one that is a chord, the body is what the messages of its header are to carry for it.

    Else each level of chords in bodies of chords would be written with all those below it.
    """
    inner = body["kwargs"].get("body") if body.get("subtask_type") == "chord" else None
    header = body["kwargs"].get("header") if inner else None
    if isinstance(header, Mapping):
        header = header["kwargs"]["tasks"]
    if inner is None or not header:
        return body
    shared = shared_body(app, inner, len(header))
    return body if shared is inner else {**body, "kwargs": {**body["kwargs"], "body": shared}}


def _keep(app: AppLike, stored: Mapping[str, bytes]) -> bool:
    """Store blocks; False says that the store cannot be reached, or has no room for them."""
    try:
        app.backend.keep_graphs(stored)
    except (OperationalError, BackendStoreError) as exc:
        url = app.backend.url
        logger.warning("The rest of a workflow travels with each of its messages, as %s failed: %s", url, exc)
        return False
    return True


def _blocks(chain: Sequence[Any], sizes: Sequence[int], limit: int) -> list[list[Any]]:
    """The steps in the order they run, cut such that those of a block after its first stay within the limit."""
    blocks: list[list[Any]] = []
    room = -1
    for step, size in zip(reversed(chain), reversed(sizes), strict=True):
        if size > room:
            blocks.append([step])
            room = limit
        else:
            blocks[-1].append(step)
            room -= size
    return blocks


def _reference(app: AppLike, graph_id: str, first: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    of_last, entry = end_of(last)["options"], _beginning(first)
    options = {key: of_last[key] for key in _OF_LAST if of_last.get(key) is not None}
    options |= {key: entry["options"][key] for key in _OF_FIRST if entry["options"].get(key) is not None}
    if app.conf.task_routes:
        options["route_name"] = entry["options"].get("route_name") or entry["task"]
    if errbacks := end_of(first)["options"].get("link_error"):
        options["link_error"] = errbacks
    return {
        "task": RESUME, "args": [], "kwargs": {"graph": graph_id}, "options": options,
        "subtask_type": None, "immutable": False,
    }  # fmt: skip


def _new_id() -> str:
    """Shorter than a UUID, as each message carries it; 16 characters, 96 bits."""
    return urlsafe_b64encode(urandom(12)).decode()


def _packed(serializer: Serializer, steps: Sequence[Any]) -> bytes:
    """A block: the tasks of a workflow repeat each other, so that little is left of a large one."""
    data = pack(serializer, steps)
    return _COMPRESSED + compress(data, "zlib")[0] if len(data) > _COMPRESSED_FROM else _PLAIN + data


def end_of(step: Any) -> Any:
    """The task whose result is that of a step."""
    while True:
        kind, kwargs = step.get("subtask_type"), step["kwargs"]
        if kind == "chain" and kwargs["tasks"]:
            step = kwargs["tasks"][-1]
        elif kind == "chord" and kwargs.get("body"):
            step = kwargs["body"]
        else:
            return step


def _beginning(step: Any) -> Any:
    """A task that a step begins with."""
    while True:
        kind, kwargs = step.get("subtask_type"), step["kwargs"]
        members = kwargs.get("header") if kind == "chord" else kwargs.get("tasks") if kind else None
        if hasattr(members, "get"):
            step = members
        elif members:
            step = members[0]
        else:
            return step


def read(app: AppLike, graph_id: str) -> list[Any]:
    """The steps that a reference stands for, the next one last.

    Raises:
        GraphMissing: They are not there (any more).
        NotImplementedError: The result store keeps none.
        OperationalError: It cannot be reached.
        SerializationError: They cannot be read.
    """
    data = app.backend.load_graph(graph_id)
    if data is None:
        raise GraphMissing(
            f"The rest of the workflow (graph {graph_id}) is not in {app.backend.url}: clients and workers must have "
            "the same result_backend, and task_graph_expires must be longer than a workflow takes; "
            "task_graph_inline_max=None lets messages carry it"
        )
    content = data[1:]
    steps: Iterable[Any] = app.serializers.unpack(
        decompress(content, "zlib") if data[:1] == _COMPRESSED else content, app.accept_content
    )
    return list(steps)


def body_of(app: AppLike, body: Any) -> Any:
    """The body of a chord, of what the messages of its header carry for it.

    Raises:
        GraphMissing: It is not there (any more).
        NotImplementedError: The result store keeps none.
        OperationalError: It cannot be reached.
        SerializationError: It cannot be read.
    """
    return read(app, body["kwargs"]["graph"])[0] if is_reference(body) else body
