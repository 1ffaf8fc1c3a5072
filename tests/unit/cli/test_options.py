"""Types of options."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import pytest

from celeriac.cli.options import (
    COMMA_SEPARATED_LIST,
    ISO8601,
    ISO8601_OR_FLOAT,
    JSON_ARRAY,
    JSON_OBJECT,
    LOG_LEVEL,
)
from celeriac.cli.worker import Concurrency, Pool

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (COMMA_SEPARATED_LIST, "a, b,,c", ["a", "b", "c"]),
        (JSON_ARRAY, '[1, "x"]', [1, "x"]),
        (JSON_OBJECT, '{"a": null}', {"a": None}),
        (ISO8601, "2030-01-01T00:00:00Z", NEW_YEAR),
        (ISO8601_OR_FLOAT, "2030-01-01T00:00:00+00:00", NEW_YEAR),
        (ISO8601_OR_FLOAT, "2.5", 2.5),
        (LOG_LEVEL, "info", "INFO"),
        (Concurrency(), "8", 8),
        (Concurrency(), "auto", 0),
        (Pool(), "threads", "threads"),
    ],
)
def test_text_becomes_a_value(kind: Any, text: str, value: Any) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (JSON_ARRAY, "[1", "is not JSON"),
        (JSON_ARRAY, '{"a": 1}', "is not a JSON array"),
        (JSON_OBJECT, "[1]", "is not a JSON object"),
        (ISO8601, "tomorrow", "is no ISO 8601 time"),
        (ISO8601_OR_FLOAT, "soon", "is no ISO 8601 time"),
        (LOG_LEVEL, "loud", "'loud'"),
        (Concurrency(), "x", "neither a number nor 'auto'"),
        (Concurrency(), "-1", "is negative"),
        (Pool(), "swimming", "there is no pool 'swimming'"),
    ],
)
def test_wrong_text_is_refused_with_the_value_seen(kind: Any, text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        kind(text)
