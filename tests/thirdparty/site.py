"""A web site under test."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: Of HTTP.
        text: The body.
    """

    status: int
    text: str

    @property
    def fields(self) -> Any:
        """The body, read as JSON; the answer has to be a good one."""
        assert self.status == 200, self
        return json.loads(self.text)


class Site:
    """See the module.

    Args:
        port: On this machine.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **query: Any) -> Answer:
        """Ask for a page."""
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, body: Any = None, **query: Any) -> Answer:
        """Post a body as JSON, or parameters."""
        return self._ask("POST", f"{path}?{urlencode(query)}" if query else path, body)

    def wait(self, path: str, condition: Callable[[Any], Any], **query: Any) -> Any:
        """Ask until what comes back is as wanted; returns that."""
        last: list[Any] = [None]

        def found() -> bool:
            answer = self.get(path, **query)
            last[0] = json.loads(answer.text) if answer.status == 200 else None
            return last[0] is not None and bool(condition(last[0]))

        wait_until(found, what=f"{path} is as wanted", interval=0.1)
        return last[0]

    def _ask(self, method: str, path: str, body: Any) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode())
        finally:
            connection.close()
