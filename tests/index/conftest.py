"""A folder for a gallery, and galleries that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from index import LocalGallery
from tests.index.samples import DIM, STRIPS, Open, OpenAny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


@pytest.fixture
def open_gallery(folder: Path) -> Iterator[Open]:
    """Opens the gallery in `folder`, with any setting changed; what is left open is closed at the end."""
    opened: list[LocalGallery] = []

    def open_it(path: Path = folder, **changes: Any) -> LocalGallery:
        settings: dict[str, Any] = {
            "fingerprint": "model-a",
            "descriptor_dim": DIM,
            "strips_shape": STRIPS,
            "snapshot_every": 1000,
        }
        opened.append(LocalGallery.open(path, **(settings | changes)))
        return opened[-1]

    yield open_it
    for gallery in opened:
        gallery.close()


@pytest.fixture(params=["local", pytest.param("milvus", marks=pytest.mark.milvus)])
def open_any(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenAny]:
    """Opens a gallery of either kind, again the same one: for what any gallery does."""
    if request.param == "local":
        yield request.getfixturevalue("open_gallery")
        return
    from tests.index.milvus.kept import OnMilvus

    opener = OnMilvus(request.getfixturevalue("milvus_url"), tmp_path)
    yield opener
    opener.close()
