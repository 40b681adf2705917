"""Long runs: tests marked `soak` are left out unless `--minutes` says how long each is to take."""

from __future__ import annotations

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, help="run the tests marked soak too, each for so many minutes")
    parser.addoption("--seed", type=int, default=0, help="what long runs draw from; the same draws the same")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--minutes") is not None:
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def soak_s(request: pytest.FixtureRequest) -> float:
    """How long a test marked `soak` is to run, in s."""
    return 60 * float(request.config.getoption("--minutes") or 0)


@pytest.fixture
def source(request: pytest.FixtureRequest) -> random.Random:
    """What a test draws from, begun anew by `--seed`."""
    return random.Random(request.config.getoption("--seed"))
