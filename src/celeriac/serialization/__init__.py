"""From values to bytes and back.  What a message means is not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from celeriac.serialization.codecs import Codec, Serializer
    from celeriac.serialization.json_types import register_type
    from celeriac.serialization.serializers import SerializerRegistry, register, registry, unregister

__all__ = ["Codec", "Serializer", "SerializerRegistry", "register", "register_type", "registry", "unregister"]

__getattr__ = lazy_exports(
    __name__,
    {
        "Codec": "celeriac.serialization.codecs",
        "Serializer": "celeriac.serialization.codecs",
        "SerializerRegistry": "celeriac.serialization.serializers",
        "register": "celeriac.serialization.serializers",
        "register_type": "celeriac.serialization.json_types",
        "registry": "celeriac.serialization.serializers",
        "unregister": "celeriac.serialization.serializers",
    },
)
