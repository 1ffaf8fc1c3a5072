"""Log lines in JSON."""

from __future__ import annotations

import json
import logging
import sys

from celeriac.log import JsonFormatter


def line(record: logging.LogRecord) -> dict[str, object]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "shop", "levelname": "INFO", "msg": message, "args": args, "created": 0.25, "process": 7} | more
    )


def test_line_has_time_level_logger_and_message() -> None:
    found = line(record("sold %s", "é\n2"))
    assert found["ts"] == "1970-01-01T00:00:00.250000+00:00"
    assert (found["level"], found["logger"], found["message"], found["pid"]) == ("INFO", "shop", "sold é\n2", 7)
    assert "exception" not in found
    assert "task_id" not in found


def test_extra_fields_are_kept_and_do_not_hide_others() -> None:
    found = line(record("x", order=5, what={1}, level="mine"))
    assert (found["order"], found["what"], found["level"]) == (5, "{1}", "INFO")


def test_exceptions_are_part_of_the_line() -> None:
    try:
        raise ValueError("sold out")
    except ValueError:
        found = line(record("failed", exc_info=sys.exc_info()))
    assert found["exc_type"] == "ValueError"
    assert str(found["exception"]).endswith("ValueError: sold out")
