"""What users told kombu itself, where it is installed: the serializers that they registered there are known here."""

from __future__ import annotations

import sys

from celeriac.serialization.codecs import Codec, Serializer
from celeriac.serialization.serializers import registry

__all__ = ["share_serializers"]


def share_serializers() -> None:
    """Look up serializers that are unknown here among those of kombu."""
    registry.elsewhere = _of_kombu


def _of_kombu(name: str) -> Serializer | None:
    """A serializer by its name or content type there; one that we have under that name is ours."""
    theirs = getattr(sys.modules.get("kombu.serialization"), "registry", None)
    if theirs is None:
        return None
    name = theirs.type_to_name.get(name, name)
    content_type = theirs.name_to_type.get(name)
    if content_type is None or name in registry.names:
        return None
    described, decoder = theirs._encoders.get(name), theirs._decoders.get(content_type)
    if described is None or decoder is None:
        return None
    encoding = "binary" if described.content_encoding in ("binary", "ascii-8bit") else described.content_encoding
    return Codec(name, content_type, encoding or "utf-8", described.encoder, decoder)
