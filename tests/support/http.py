"""Asking an HTTP port."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from tests.support import PATIENCE


def get(url: str, **headers: str) -> tuple[int, str]:
    """Status and body of an answer."""
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def get_json(url: str) -> tuple[int, dict[str, Any]]:
    """Status and fields of an answer."""
    status, body = get(url)
    return status, json.loads(body)
