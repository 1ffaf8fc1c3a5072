"""Azure Cosmos DB for NoSQL: the account, databases, containers and items by id, with time to live and conditions.

https://learn.microsoft.com/en-us/rest/api/cosmos-db/
"""

from __future__ import annotations

import time
from typing import Any

from tests.support.emulators.http import Answer, Emulator, Request

_MESSAGES = {404: "NotFound", 409: "Conflict", 412: "PreconditionFailed"}
_NEVER = float("inf")


def _error(status: int) -> Answer:
    return Answer(status, {"code": _MESSAGES[status], "message": _MESSAGES[status]})


class CosmosDB(Emulator):
    """Databases of containers of items."""

    def __init__(self) -> None:
        self.databases: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        self._etag = 0

    def answer(self, request: Request) -> Answer:
        match request.method, request.path:
            case "GET", []:
                return Answer(200, _account(f"http://{request.headers['host']}/"))
            case "POST", ["dbs"]:
                return self._make(self.databases, request.json()["id"])
            case "GET", ["dbs", database]:
                return _described(database, self.databases)
            case "POST", ["dbs", database, "colls"]:
                return self._make(self.databases[database], request.json()["id"])
            case "GET", ["dbs", database, "colls", container]:
                return _described(container, self.databases.get(database, {}))
            case "GET", ["dbs", _, "colls", _, "pkranges"]:
                whole = {"id": "0", "_rid": "r", "minInclusive": "", "maxExclusive": "FF", "parents": []}
                return Answer(200, {"_rid": "r", "PartitionKeyRanges": [whole], "_count": 1})
            case method, ["dbs", database, "colls", container, "docs", *id_]:
                return self._items(method, self.databases[database][container], id_, request)
        raise NotImplementedError(request)

    def _make(self, places: dict[str, Any], name: str) -> Answer:
        if name in places:
            return _error(409)
        places[name] = {}
        return Answer(201, _description(name))

    def _items(self, method: str, items: dict[str, dict[str, Any]], id_: list[str], request: Request) -> Answer:
        for name in [name for name, item in items.items() if item["_at"] + item.get("ttl", _NEVER) < time.time()]:
            del items[name]
        if method == "POST":
            body = request.json()
            is_upsert = request.headers.get("x-ms-documentdb-is-upsert", "").lower() == "true"
            if body["id"] in items and not is_upsert:
                return _error(409)
            return self._keep(items, body, 201)
        there = items.get(id_[0])
        if there is None:
            return _error(404)
        if method == "GET":
            return Answer(200, there)
        if request.headers.get("if-match", there["_etag"]) != there["_etag"]:
            return _error(412)
        if method == "DELETE":
            del items[id_[0]]
            return Answer(204)
        return self._keep(items, request.json(), 200)

    def _keep(self, items: dict[str, dict[str, Any]], body: dict[str, Any], status: int) -> Answer:
        self._etag += 1
        item = {**body, "_etag": f'"{self._etag}"', "_rid": "r", "_self": "s", "_at": time.time()}
        items[body["id"]] = item
        return Answer(status, item)


def _description(name: str) -> dict[str, Any]:
    return {"id": name, "_rid": "r", "_self": "s", "partitionKey": {"paths": ["/id"], "kind": "Hash", "version": 2}}


def _described(name: str, places: dict[str, Any]) -> Answer:
    return Answer(200, _description(name)) if name in places else _error(404)


def _account(address: str) -> dict[str, Any]:
    here = [{"name": "Here", "databaseAccountEndpoint": address}]
    return {
        "id": "account",
        "_self": "",
        "_dbs": "//dbs/",
        "media": "//media/",
        "addresses": "//addresses/",
        "writableLocations": here,
        "readableLocations": here,
        "enableMultipleWriteLocations": False,
        "userConsistencyPolicy": {"defaultConsistencyLevel": "Strong"},
    }
