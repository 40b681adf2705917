"""One event a line: JSON for machines, readable for people, and no local variables in tracebacks."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.observability import logs


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_lines_hold_time_level_logger_request_and_event() -> None:
    stream = io.StringIO()
    logs.configure("auto", "info", stream)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("service.x").info("enrolled", images=3)
        structlog.get_logger("service.x").debug("unseen")
    [line] = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "enrolled",
        "images": 3,
        "level": "info",
        "logger": "service.x",
        "request_id": "r1",
    }


def test_the_servers_own_lines_go_the_same_way() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request: %s", "x")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == (
        "Invalid HTTP request: x",
        "warning",
        "uvicorn.error",
    )


def test_a_terminal_gets_readable_lines() -> None:
    stream = Terminal()
    logs.configure("auto", "info", stream)
    structlog.get_logger("service.x").info("enrolled", images=3)
    assert "enrolled" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_shows_no_local_variables(style: str) -> None:
    stream = io.StringIO()
    logs.configure("json" if style == "json" else "console", "info", stream)

    def fail() -> None:
        vehicle_id = "".join(["sec", "ret"])
        raise RuntimeError(f"broken with {len(vehicle_id)}")

    try:
        fail()
    except RuntimeError:
        structlog.get_logger("service.x").exception("request_failed")
    assert "broken with 6" in stream.getvalue()
    assert "secret" not in stream.getvalue()
