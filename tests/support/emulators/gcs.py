"""The JSON interface of Google Cloud Storage: objects of one bucket, with generations as conditions.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.emulators.http import Answer, Emulator, Request

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Object(NamedTuple):
    generation: int
    updated: datetime
    data: bytes


class GoogleCloudStorage(Emulator):
    """Objects by name."""

    def __init__(self) -> None:
        self.objects: dict[str, _Object] = {}
        self._generations = count(1)

    def answer(self, request: Request) -> Answer:
        use = request.path[0]
        storage, version, b, bucket, o, *names = request.path[use in ("upload", "download") :]
        assert (storage, version, b, o) == ("storage", "v1", "b", "o")
        if use == "upload":
            return self._upload(request, bucket)
        if not names:
            found = sorted(name for name in self.objects if name.startswith(request.query.get("prefix", "")))
            return Answer(200, {"kind": "storage#objects", "items": [self._resource(bucket, name) for name in found]})
        (name,) = names
        if name not in self.objects:
            return _error(404, f"No such object: {bucket}/{name}")
        if self._has_changed(name, request.query):
            return _PRECONDITION_FAILED
        if request.method == "DELETE":
            del self.objects[name]
            return Answer(204)
        if request.query.get("alt") == "media":
            there = self.objects[name]
            return Answer(200, there.data, {"X-Goog-Generation": str(there.generation)})
        return Answer(200, self._resource(bucket, name))

    def _upload(self, request: Request, bucket: str) -> Answer:
        boundary = request.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        _, metadata, media, _ = request.body.split(b"--" + boundary)
        name = json.loads(metadata.partition(b"\r\n\r\n")[2])["name"]
        if self._has_changed(name, request.query):
            return _PRECONDITION_FAILED
        data = media.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        self.objects[name] = _Object(next(self._generations), datetime.now(UTC), data)
        return Answer(200, self._resource(bucket, name))

    def _has_changed(self, name: str, query: Mapping[str, str]) -> bool:
        wanted, there = query.get("ifGenerationMatch"), self.objects.get(name)
        return wanted is not None and int(wanted) != (0 if there is None else there.generation)

    def _resource(self, bucket: str, name: str) -> dict[str, Any]:
        generation, updated, data = self.objects[name]
        return {
            "kind": "storage#object", "name": name, "bucket": bucket, "generation": str(generation),
            "size": str(len(data)), "updated": updated.isoformat().replace("+00:00", "Z"),
        }  # fmt: skip


def _error(status: int, message: str) -> Answer:
    return Answer(status, {"error": {"code": status, "message": message}})


_PRECONDITION_FAILED = _error(412, "At least one of the pre-conditions you specified did not hold.")
