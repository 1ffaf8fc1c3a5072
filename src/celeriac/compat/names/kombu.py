"""The modules of ``kombu`` that code for Celery uses, where kombu itself is not installed."""

from __future__ import annotations

from typing import Final

from celeriac.compat.names.row import Row, names_of

__all__ = ["TABLE"]

_HERE: Final = "celeriac.compat.kombu"
_FUNCTIONAL: Final = names_of(
    "celeriac.compat.utils.functional", "LRUCache", "dictfilter", "is_list", "lazy", "maybe_evaluate", "maybe_list",
    "memoize",
)  # fmt: skip
_ENTITIES: Final = names_of("celeriac.broker.topology", "Exchange", "Queue", "binding")
_UUID: Final = names_of("celeriac.utils.uuid", uuid="uuid4")
_CONNECTION: Final = names_of(f"{_HERE}.connection", "BrokerConnection", "Connection")
_MESSAGING: Final = {
    **names_of("celeriac.messaging.consumer", "Consumer"),
    **names_of("celeriac.messaging.producer", "Producer"),
}
_ERRORS: Final = names_of(
    "celeriac.exceptions", "ContentDisallowed", "DecodeError", "EncodeError", "OperationalError", "SerializationError",
    ChannelError="OperationalError", ConnectionError="OperationalError", KombuError="CeleryError",
    LimitExceeded="OperationalError", SerializerNotInstalled="ImproperlyConfigured",
)  # fmt: skip
_OUTSIDE: Final = "install kombu, which is then used under its name"

TABLE: Final[dict[str, Row]] = {
    "kombu": Row(
        None,
        {
            **_ENTITIES,
            **_UUID,
            **_CONNECTION,
            **_MESSAGING,
            **names_of("celeriac.messaging.message", "Message"),
            **names_of(f"{_HERE}.pools", "connections", "producers"),
            **names_of(
                f"{_HERE}.serialization", "disable_insecure_serializers", "enable_insecure_serializers"
            ),
            **names_of("celeriac.utils.url", "parse_url"),
            **names_of("celeriac.compat.version", VERSION="KOMBU_VERSION", __version__="KOMBU"),
        },
        missing={"eventloop": "call connection.drain_events() in a loop"},
    ),
    "kombu.asynchronous": Row(instead=_OUTSIDE),
    "kombu.clocks": Row(None, names_of("celeriac.utils.clock", "LamportClock")),
    "kombu.common": Row(
        None,
        {**_UUID, **names_of("celeriac.broker.topology", "Broadcast"), **names_of(f"{_HERE}.common", "maybe_declare")},
        missing=dict.fromkeys(("collect_replies", "eventloop", "insured", "itermessages", "send_reply"), _OUTSIDE),
    ),
    "kombu.compression": Row("celeriac.serialization.compression"),
    "kombu.connection": Row(None, _CONNECTION),
    "kombu.entity": Row(None, _ENTITIES),
    "kombu.exceptions": Row(
        None,
        {
            **_ERRORS,
            **names_of("celeriac.messaging.message", "MessageStateError"),
            **names_of("builtins", "TimeoutError"),
        },
    ),
    "kombu.log": Row(None, names_of("celeriac.log", "get_logger")),
    "kombu.message": Row(None, names_of("celeriac.messaging.message", "Message")),
    "kombu.messaging": Row(None, {**_MESSAGING, **_ENTITIES}),
    "kombu.mixins": Row(f"{_HERE}.mixins"),
    "kombu.pidbox": Row(instead="use app.control"),
    "kombu.pools": Row(f"{_HERE}.pools"),
    "kombu.serialization": Row(f"{_HERE}.serialization"),
    "kombu.simple": Row("celeriac.messaging.simple"),
    "kombu.transport": Row(instead=_OUTSIDE),
    "kombu.utils": Row(
        None,
        {
            **_UUID,
            **names_of("celeriac.compat.utils.functional", "maybe_list"),
            **names_of("celeriac.compat.utils.objects", "cached_property"),
            **names_of("celeriac.utils.imports", "symbol_by_name"),
        },
    ),
    "kombu.utils.encoding": Row(f"{_HERE}.encoding"),
    "kombu.utils.functional": Row(None, _FUNCTIONAL),
    "kombu.utils.imports": Row(None, names_of("celeriac.utils.imports", "symbol_by_name")),
    "kombu.utils.json": Row(f"{_HERE}.json", names_of("celeriac.serialization", "register_type")),
    "kombu.utils.objects": Row(None, names_of("celeriac.compat.utils.objects", "cached_property")),
    "kombu.utils.url": Row(
        None, names_of("celeriac.utils.url", "parse_url", maybe_sanitize_url="redact", sanitize_url="redact")
    ),
    "kombu.utils.uuid": Row(None, _UUID),
}  # fmt: skip
