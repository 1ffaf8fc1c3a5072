"""Elasticsearch 8 and 9: documents by id, `_mget`, `_bulk`, `_delete_by_query` by a range of one field.

https://www.elastic.co/docs/api/doc/elasticsearch/
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.support.emulators.http import Answer, Emulator, Request

_TERM = 1


class Elasticsearch(Emulator):
    """Indices of documents, by id: number and source."""

    headers: ClassVar = {"X-Elastic-Product": "Elasticsearch"}

    def __init__(self) -> None:
        self.indices: dict[str, dict[str, tuple[int, Any]]] = {}
        self._number = 0

    def answer(self, request: Request) -> Answer:
        match request.method, request.path:
            case "POST", [index, "_mget"]:
                return Answer(200, {"docs": [self._found(index, id_)[1] for id_ in request.json()["ids"]]})
            case "PUT", [index, "_bulk"]:
                return self._bulk(index, [json.loads(line) for line in request.body.splitlines() if line])
            case "POST", [index, "_delete_by_query"]:
                ((field, condition),) = request.json()["query"]["range"].items()
                return Answer(200, {"deleted": self._delete_older(index, field, condition["lte"]), "failures": []})
            case "GET", [index, "_doc", id_]:
                return Answer(*self._found(index, id_))
            case "DELETE", [index, "_doc", id_]:
                gone = self.indices.get(index, {}).pop(id_, None)
                return Answer(200 if gone else 404, {"_id": id_, "result": "deleted" if gone else "not_found"})
            case "PUT", [index, "_create", id_]:
                return self._store(index, id_, request.json(), {"op_type": "create"})
            case "PUT", [index, "_doc", id_]:
                return self._store(index, id_, request.json(), dict(request.query))
        raise NotImplementedError(request)

    def _found(self, index: str, id_: str) -> tuple[int, dict[str, Any]]:
        if index not in self.indices:
            return 404, {"_index": index, "_id": id_, "error": {"type": "index_not_found_exception"}}
        there = self.indices[index].get(id_)
        if there is None:
            return 404, {"_index": index, "_id": id_, "found": False}
        number, source = there
        fields = {"_index": index, "_id": id_, "found": True, "_seq_no": number, "_primary_term": _TERM}
        return 200, {**fields, "_version": 1, "_source": source}

    def _store(self, index: str, id_: str, source: Any, query: dict[str, str]) -> Answer:
        there = self.indices.setdefault(index, {}).get(id_)
        expected = (query["if_seq_no"], query["if_primary_term"]) if "if_seq_no" in query else None
        actual = None if there is None else (str(there[0]), str(_TERM))
        if (query.get("op_type") == "create" and there is not None) or (expected and expected != actual):
            error = {"type": "version_conflict_engine_exception", "reason": f"[{id_}]: version conflict"}
            return Answer(409, {"error": {**error, "root_cause": [error]}, "status": 409})
        self._number += 1
        self.indices[index][id_] = (self._number, source)
        done = {"_id": id_, "_seq_no": self._number, "_primary_term": _TERM}
        return Answer(201 if there is None else 200, {**done, "result": "created" if there is None else "updated"})

    def _bulk(self, index: str, lines: list[Any]) -> Answer:
        items: list[Any] = []
        rest = iter(lines)
        for action in rest:
            if "delete" not in action:
                ((kind, place),) = action.items()
                stored = self._store(index, place["_id"], next(rest), {"op_type": kind})
                items.append({kind: {"_id": place["_id"], **stored.value, "status": stored.status}})
            else:
                id_ = action["delete"]["_id"]
                gone = self.indices.setdefault(index, {}).pop(id_, None)
                items.append({"delete": {"_id": id_, "status": 200 if gone else 404, "result": "deleted"}})
        failed = any("error" in done for item in items for done in item.values())
        return Answer(200, {"errors": failed, "items": items})

    def _delete_older(self, index: str, field: str, limit: str) -> int:
        documents = self.indices.get(index, {})
        old = [id_ for id_, (_, source) in documents.items() if source.get(field, "~") <= limit]
        for id_ in old:
            del documents[id_]
        return len(old)
