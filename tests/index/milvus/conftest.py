"""A gallery on a real Milvus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.index.milvus.kept import OnMilvus


@pytest.fixture
def on_milvus(milvus_url: str, tmp_path: Path) -> Iterator[OnMilvus]:
    """Opens the gallery of the test on Milvus; what is in it goes at the end."""
    opener = OnMilvus(milvus_url, tmp_path)
    yield opener
    opener.close()
