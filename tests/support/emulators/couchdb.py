"""CouchDB 3: databases, `_bulk_docs`, `_all_docs`, `_find`, and single documents as Celery asks for them.

https://docs.couchdb.org/en/stable/api/
"""

from __future__ import annotations

from typing import Any

from tests.support.emulators.http import Answer, Emulator, Request

_CONFLICT = {"error": "conflict", "reason": "Document update conflict."}
_MISSING = {"error": "not_found", "reason": "missing"}


class CouchDB(Emulator):
    """Databases of documents."""

    def __init__(self) -> None:
        self.databases: dict[str, dict[str, dict[str, Any]]] = {}

    def answer(self, request: Request) -> Answer:
        database, *rest = request.path
        if not rest:
            return self._database(request.method, database)
        if database not in self.databases:
            return Answer(404, {"error": "not_found", "reason": "Database does not exist."})
        documents = self.databases[database]
        match request.method, rest:
            case "POST", ["_bulk_docs"]:
                return Answer(201, [_save(documents, each) for each in request.json()["docs"]])
            case "POST", ["_all_docs"]:
                return Answer(200, {"rows": [_row(documents, key) for key in request.json()["keys"]]})
            case "POST", ["_find"]:
                return Answer(200, {"docs": _find(documents, **request.json()), "bookmark": "nil"})
            case "PUT", [key]:
                saved = _save(documents, {**request.json(), "_id": key})
                return Answer(409 if "error" in saved else 201, saved)
            case "DELETE", [key]:
                saved = _save(documents, {"_id": key, "_rev": request.query["rev"], "_deleted": True})
                return Answer(409 if "error" in saved else 200, saved)
            case "GET" | "HEAD", [key]:
                there = documents.get(key)
                if there is None or there.get("_deleted"):
                    return Answer(404, _MISSING)
                return Answer(200, there, {"ETag": f'"{there["_rev"]}"'})
        raise NotImplementedError(request)

    def _database(self, method: str, name: str) -> Answer:
        if method == "PUT":
            if name in self.databases:
                return Answer(412, {"error": "file_exists", "reason": "The database already exists."})
            self.databases[name] = {}
            return Answer(201, {"ok": True})
        return Answer(200, {"db_name": name}) if name in self.databases else Answer(404, _MISSING)


def _save(documents: dict[str, dict[str, Any]], document: dict[str, Any]) -> dict[str, Any]:
    key, there = document["_id"], documents.get(document["_id"])
    # Who names no revision creates; a deleted document may be created again.
    expected = None if there is None or (there.get("_deleted") and "_rev" not in document) else there["_rev"]
    if document.get("_rev") != expected:
        return {"id": key, **_CONFLICT}
    number = 1 if there is None else int(there["_rev"].partition("-")[0]) + 1
    documents[key] = {**document, "_rev": f"{number}-{id(document):x}"}
    return {"ok": True, "id": key, "rev": documents[key]["_rev"]}


def _row(documents: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    there = documents.get(key)
    if there is None:
        return {"key": key, "error": "not_found"}
    if there.get("_deleted"):
        return {"id": key, "key": key, "value": {"rev": there["_rev"], "deleted": True}, "doc": None}
    return {"id": key, "key": key, "value": {"rev": there["_rev"]}, "doc": there}


def _find(
    documents: dict[str, dict[str, Any]], selector: dict[str, Any], fields: list[str], limit: int
) -> list[dict[str, Any]]:
    found = [
        document
        for _, document in sorted(documents.items())
        if not document.get("_deleted")
        and all(_matches(document.get(name), condition) for name, condition in selector.items())
    ]
    return [{name: document[name] for name in fields} for document in found[:limit]]


def _matches(value: Any, condition: dict[str, Any]) -> bool:
    compare = {"$gt": lambda a, b: a > b, "$lt": lambda a, b: a < b, "$lte": lambda a, b: a <= b}
    return value is not None and all(compare[name](value, operand) for name, operand in condition.items())
