"""A gallery of the first version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.index.samples import version_1


@pytest.fixture(params=["closed", "killed"])
def earlier(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A gallery of schema version 1 with the images a, d, e and f."""
    version_1(request.param, folder)
    return folder
