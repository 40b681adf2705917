"""Galleries on a Milvus for tests: what a shared store keeps outlives an opening, and a collection is "
"used again."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from index.milvus import Companions, MilvusGallery, MilvusSetup, local_companions, open_milvus_gallery
from index.milvus.expression import EVERYTHING
from tests.index.samples import DIM, STRIPS

PREFIX: Final = f"tests_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
"""Of the collections: test processes share a server, and none the gallery of another."""


class Kept:
    """Companions that all openings of one gallery share, as replicas do."""

    def __init__(self) -> None:
        self._companions: Companions | None = None
        self._record_of: Any = None

    def __call__(self, record_of: Any, descriptor_dim: int) -> Companions:
        self._record_of = record_of
        if self._companions is None:
            self._companions = local_companions(lambda image_id: self._record_of(image_id), descriptor_dim)
        return self._companions


class OnMilvus:
    """Opens the gallery of one test; at its end what is in it is removed.

    Args:
        url: of Milvus.
        folder: of the objects.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.setup = MilvusSetup(url, str(folder / "objects"), prefix=PREFIX)
        self.kept = Kept()
        self._opened: list[tuple[MilvusGallery, dict[str, Any]]] = []

    def __call__(self, **changes: Any) -> MilvusGallery:
        """The gallery, with settings of its opening changed; those of a local gallery alone are left out."""
        settings: dict[str, Any] = {"fingerprint": "model-a", "descriptor_dim": DIM, "strips_shape": STRIPS}
        settings |= {name: value for name, value in changes.items() if name in (*settings, "normalisation")}
        shape = settings["strips_shape"]
        # A collection takes seconds to make: one for all tests of these shapes.
        name = f"d{settings['descriptor_dim']}-{'none' if shape is None else 'x'.join(map(str, shape))}"
        settings |= {"collection": name, "open_companions": self.kept}
        gallery = open_milvus_gallery(replace(self.setup, **changes.get("setup", {})), **settings)
        self._opened.append((gallery, settings))
        return gallery

    def close(self) -> None:
        """Remove what is in the collections, and close them."""
        for settings in {settings["collection"]: settings for _, settings in self._opened}.values():
            # What the test has put in the place of the companions may be gone by now.
            with open_milvus_gallery(self.setup, **(settings | {"open_companions": Kept()})) as gallery:
                gallery._engine.delete([row["record_id"] for row in gallery._engine.rows(EVERYTHING)])
        for gallery, _ in self._opened:
            gallery.close()
        shutil.rmtree(self.setup.objects_url, ignore_errors=True)
