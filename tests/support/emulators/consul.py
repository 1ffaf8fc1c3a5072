"""The key-value store of Consul 1: one key, all below a prefix, the keys below a prefix, check-and-set.

https://developer.hashicorp.com/consul/api-docs/kv
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from tests.support.emulators.http import Answer, Emulator, Request

_LARGEST = 512 * 1024


class Consul(Emulator):
    """Keys: index, flags and value."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[int, int, bytes]] = {}
        self._index = 1

    def answer(self, request: Request) -> Answer:
        version, kv, *segments = request.path
        assert (version, kv) == ("v1", "kv")
        answer = self._answer(request, "/".join(segments))
        return Answer(answer.status, answer.value, {"X-Consul-Index": str(self._index)})

    def _answer(self, request: Request, key: str) -> Answer:
        query = request.query
        there = self.entries.get(key)
        if request.method == "GET":
            if "recurse" in query or "keys" in query:
                names = sorted(name for name in self.entries if name.startswith(key))
                found: list[Any] = names if "keys" in query else [self._entry(name) for name in names]
                return Answer(200 if names else 404, found)
            return Answer(404) if there is None else Answer(200, [self._entry(key)])
        if len(request.body) > _LARGEST:
            return Answer(413, f"Request body({len(request.body)} bytes) too large, max size: {_LARGEST} bytes.")
        if "cas" in query and int(query["cas"]) != (0 if there is None else there[0]):
            return Answer(200, value=False)
        self._index += 1
        if request.method == "PUT":
            self.entries[key] = (self._index, int(query.get("flags", 0)), request.body)
        else:
            self.entries.pop(key, None)
        return Answer(200, value=True)

    def _entry(self, key: str) -> dict[str, Any]:
        index, flags, value = self.entries[key]
        return {"Key": key, "ModifyIndex": index, "Flags": flags, "Value": b64encode(value).decode() or None}
