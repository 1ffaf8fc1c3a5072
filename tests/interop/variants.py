"""The calls of which golden messages are kept: made by either library, from the same table."""

# The decorators are of either library: neither has types here.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.interop.talk import Sig

ETA = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
QUEUE = "golden"


@dataclass
class Variant:
    """One call.

    Attributes:
        task: Name of the task; one that `declare` does not know is sent by name.
        args: Positional arguments.
        kwargs: Keyword arguments.
        options: Of `apply_async`.
        protocol: ``task_protocol``.
    """

    task: str = "golden.add"
    args: tuple[Any, ...] = (2, 3)
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    protocol: int = 2


def declare(app: Any) -> None:
    """Declare the tasks of the table."""

    @app.task(name="golden.add")
    def add(*args: Any, **kwargs: Any) -> None:
        """Take anything."""

    @app.task(name="golden.careful", priority=4, time_limit=30, soft_time_limit=20, serializer="yaml", expires=600)
    def careful(*args: Any) -> None:
        """Have options of its own."""

    @app.task(name="golden.ignored", ignore_result=True)
    def ignored(*args: Any) -> None:
        """Keep no result."""


def _v(*args: Any, kwargs: dict[str, Any] | None = None, **options: Any) -> Variant:
    return Variant(args=args, kwargs=kwargs or {}, options=options)


_LINK = Sig("golden.add", (10,), {"y": 1}, {"queue": "golden"})
_SILENT = Sig("golden.add", (), {}, {"queue": "golden", "countdown": 5}, immutable=True)

VARIANTS: dict[str, Variant] = {
    "plain": _v(2, 3),
    "no arguments": _v(),
    "keyword arguments": _v(1, kwargs={"y": 2, "z": [1]}),
    "unicode": _v("na\u00efve \u2603 \U0001f600", "quote \" and ' and \\ and \n"),
    "nested": _v([1, [2, [3, [4, [5]]]]], {"a": {"b": {"c": {"d": 1}}}}),
    "long text": _v("x" * 3000),
    "long list": _v(list(range(1000))),
    "long keywords": _v(kwargs={f"key{n}": "v" * 50 for n in range(40)}),
    "plain values": _v(None, True, False, 1.5, -0.0, 1e300, 10**30),
    "typed values": _v(
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        date(2026, 1, 2),
        Decimal("1.50"),
        UUID("11111111-1111-4111-8111-111111111111"),
        b"text",
        b"\xff\x00",
    ),
    "pickle": _v(1, kwargs={"s": {3}, "t": (1, 2)}, serializer="pickle"),
    "yaml": _v("text", [1, 2.5], serializer="yaml"),
    "msgpack": _v("text", [1, 2.5], {"a": None}, serializer="msgpack"),
    "gzip": _v("x" * 100, compression="gzip"),
    "bzip2": _v("x" * 100, compression="bzip2"),
    "lzma": _v("x" * 100, compression="lzma"),
    "brotli": _v("x" * 100, compression="brotli"),
    "zstd": _v("x" * 100, compression="zstd"),
    "countdown": _v(1, countdown=3600),
    "eta": _v(1, eta=ETA),
    "expires in seconds": _v(1, expires=3600),
    "expires at": _v(1, expires=ETA),
    "priority 0": _v(1, priority=0),
    "priority 3": _v(1, priority=3),
    "priority 5": _v(1, priority=5),
    "priority 9": _v(1, priority=9),
    "time limits": _v(1, time_limit=60, soft_time_limit=50.5),
    "soft time limit": _v(1, soft_time_limit=5),
    "shadow": _v(1, shadow="another name"),
    "headers": _v(1, headers={"tenant": "x", "depth": {"a": [1, None]}}),
    "ignore_result": _v(1, ignore_result=True),
    "link": _v(1, link=_LINK),
    "two links": _v(1, link=[_LINK, _SILENT]),
    "link_error": _v(1, link_error=_SILENT),
    "ids": _v(1, root_id="the-root", parent_id="the-parent"),
    "retries": _v(1, retries=2),
    "own representation": _v("secret", argsrepr="('***',)", kwargsrepr="{'hidden': 1}"),
    "delivery mode": _v(1, delivery_mode=1),
    "task of its own options": Variant("golden.careful", (1,)),
    "own options overridden": Variant("golden.careful", (1,), {}, {"priority": 9, "serializer": "json"}),
    "task without result": Variant("golden.ignored", (1,)),
    "by name": Variant("golden.unknown", (1,), {"y": 2}),
    "by name without result": Variant("golden.unknown", (1,), {}, {"ignore_result": True}),
    "protocol 1": Variant(args=(2, 3), kwargs={"y": 2}, protocol=1),
    "protocol 1 eta": Variant(args=(1,), options={"eta": ETA, "expires": ETA}, protocol=1),
    "protocol 1 link": Variant(args=(1,), options={"link": _LINK, "link_error": _SILENT}, protocol=1),
    "protocol 1 gzip": Variant(args=(1,), options={"compression": "gzip"}, protocol=1),
}


def task_id(name: str) -> str:
    """The id that the call of a variant gets."""
    return f"00000000-0000-4000-8000-{list(VARIANTS).index(name):012d}"


def make_sig(app: Any, value: Any) -> Any:
    """Signatures of an app in the place of `Sig`."""
    if isinstance(value, Sig):
        return app.signature(
            value.task, args=value.args, kwargs=value.kwargs, options=value.options, immutable=value.immutable
        )
    return [make_sig(app, each) for each in value] if isinstance(value, list) else value


def call(app: Any, name: str) -> None:
    """Make the call of a variant."""
    variant = VARIANTS[name]
    options = {key: make_sig(app, value) for key, value in variant.options.items()}
    options |= {"task_id": task_id(name), "queue": QUEUE}
    if variant.task in app.tasks:
        app.tasks[variant.task].apply_async(variant.args, variant.kwargs, **options)
    else:
        app.send_task(variant.task, variant.args, variant.kwargs, **options)
