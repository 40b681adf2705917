"""What most tests of the service start from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from tests.service.fakes import Running, running


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("LKA_REID_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _drop(_logger: Any, _method: str, _event: EventDict) -> EventDict:
    raise structlog.DropEvent


@pytest.fixture(autouse=True)
def _silence() -> None:
    # Not undone at the end: services of a module's own scope still log when they stop.
    structlog.configure(processors=[_drop])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    """A service of its own, for tests that change it."""
    with running(tmp_path) as it:
        yield it


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service for all tests of a module that leave it as it is."""
    with running(tmp_path_factory.mktemp("shared")) as it:
        yield it
