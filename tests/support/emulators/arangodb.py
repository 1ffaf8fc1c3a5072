"""ArangoDB 3: documents of collections, alone and many at once, and indices by which they expire.

https://docs.arangodb.com/stable/develop/http-api/
"""

from __future__ import annotations

import time
from typing import Any

from tests.support.emulators.http import Answer, Emulator, Request

_MESSAGES = {
    1200: "conflict, _rev values do not match",
    1202: "document not found",
    1203: "collection or view not found",
    1207: "duplicate name",
    1210: "unique constraint violated",
}
_NEVER = float("inf")
_STATUSES = {1200: 412, 1202: 404, 1203: 404, 1207: 409, 1210: 409}


def _error(number: int) -> dict[str, Any]:
    return {"error": True, "code": _STATUSES[number], "errorNum": number, "errorMessage": _MESSAGES[number]}


class ArangoDB(Emulator):
    """Collections, by database and name."""

    def __init__(self) -> None:
        self.collections: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._expiring: dict[tuple[str, str], str] = {}
        self._revision = 0

    def answer(self, request: Request) -> Answer:
        _db, database, api, *rest = request.path
        assert (_db, api) == ("_db", "_api")
        match request.method, rest:
            case "POST", ["collection"]:
                place = database, request.json()["name"]
                if place in self.collections:
                    return Answer(409, _error(1207))
                self.collections[place] = {}
                return Answer(200, {"name": place[1], "id": "1", "status": 3, "type": 2, "error": False, "code": 200})
            case "POST", ["index"]:
                index = request.json()
                assert index["type"] == "ttl" and index["expireAfter"] == 0
                self._expiring[database, request.query["collection"]] = index["fields"][0]
                return Answer(201, {**index, "id": "c/1", "isNewlyCreated": True, "error": False, "code": 201})
            case method, ["document", collection, *key]:
                if (database, collection) not in self.collections:
                    return Answer(404, _error(1203))
                return self._documents(method, (database, collection), key, request)
        raise NotImplementedError(request)

    def _documents(self, method: str, place: tuple[str, str], key: list[str], request: Request) -> Answer:
        documents, field = self.collections[place], self._expiring.get(place, "")
        for name in [name for name, each in documents.items() if each.get(field, _NEVER) < time.time()]:
            del documents[name]
        body = request.json()
        match method, key:
            case "PUT", [] if request.query.get("onlyget") in ("true", "True", "1"):
                return Answer(200, [documents.get(name, {"_key": name, **_error(1202)}) for name in body])
            case "POST", []:
                overwrite = request.query.get("overwriteMode") == "replace"
                if isinstance(body, list):
                    return Answer(202, [self._insert(place, each, overwrite=overwrite) for each in body])
                return _single(self._insert(place, body, overwrite=overwrite))
            case "PUT", [name]:
                # The revision in the document counts where it is not to be ignored.
                expected = body.get("_rev", "") if request.query.get("ignoreRevs") in ("0", "false", "False") else ""
                return _single(self._replace(place, name, body, expected))
            case "DELETE", []:
                gone = [documents.pop(each["_key"], None) for each in body]
                return Answer(200, [_meta(there) if there else _error(1202) for there in gone])
        raise NotImplementedError(request)

    def _insert(self, place: tuple[str, str], document: dict[str, Any], *, overwrite: bool) -> dict[str, Any]:
        if document["_key"] in self.collections[place] and not overwrite:
            return _error(1210)
        return self._keep(place, document["_key"], document)

    def _replace(self, place: tuple[str, str], name: str, document: dict[str, Any], revision: str) -> dict[str, Any]:
        there = self.collections[place].get(name)
        if there is None:
            return _error(1202)
        if revision and revision != there["_rev"]:
            return _error(1200)
        return self._keep(place, name, document)

    def _keep(self, place: tuple[str, str], name: str, document: dict[str, Any]) -> dict[str, Any]:
        self._revision += 1
        there = {**document, "_key": name, "_id": f"{place[1]}/{name}", "_rev": f"_r{self._revision}"}
        self.collections[place][name] = there
        return _meta(there)


def _meta(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ("_key", "_id", "_rev")}


def _single(done: dict[str, Any]) -> Answer:
    return Answer(done.get("code", 202), done)
