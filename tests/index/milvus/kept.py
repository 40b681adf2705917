"""Galleries on a Milvus for tests: what a shared store keeps outlives an opening, and a collection is "
"used again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from index.collections import DEFAULT
from index.milvus import (
    Companions,
    MilvusGallery,
    MilvusIndex,
    MilvusSetup,
    local_companions,
    open_milvus_gallery,
)
from index.milvus.connection import connect
from index.milvus.expression import EVERYTHING
from index.milvus.opening import collection_name
from tests.index.samples import DIM, STRIPS

PREFIX: Final = f"tests_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
"""Of the collections: test processes share a server, and none the gallery of another."""
HNSW: Final = MilvusIndex("HNSW", {"M": 8}, {"ef": 64})
"""Of the gallery beside that is named `hnsw`."""


@contextmanager
def emptied(url: str, *prefixes: str) -> Iterator[None]:
    """At the end the default galleries of these prefixes are empty, where they were opened meanwhile.

    Args:
        url: of Milvus.
        prefixes: of galleries that were made with the same shapes in all tests.
    """
    yield
    with closing(connect(url, 10)) as client:
        for prefix in prefixes:
            name = collection_name(MilvusSetup(url, "", prefix=prefix), DEFAULT)
            if client.has_collection(name):
                client.delete(name, filter=EVERYTHING)


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
    """Opens the gallery of one test, and others beside it; at its end what is in them is removed.

    Args:
        url: of Milvus.
        folder: of the objects.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.setup = MilvusSetup(url, str(folder / "objects"), prefix=PREFIX)
        self.kept = Kept()
        self._opened: dict[tuple[str, str], list[MilvusGallery]] = {}
        self._again: dict[tuple[str, str], Callable[[], MilvusGallery]] = {}

    def __call__(self, beside: str = "", **changes: Any) -> MilvusGallery:
        """The gallery, with settings of its opening changed; those of a local gallery alone are left out.

        Args:
            beside: what its prefix ends with, for a gallery apart: of one name those of all tests are alike.
            changes: of the settings; `setup` has those of fields of `MilvusSetup`.
        """
        settings: dict[str, Any] = {"fingerprint": "model-a", "descriptor_dim": DIM, "strips_shape": STRIPS}
        of_milvus = (*settings, "normalisation", "supersedes", "refuse_old")
        settings |= {name: value for name, value in changes.items() if name in of_milvus}
        shape = settings["strips_shape"]
        # A collection takes seconds to make: one for all tests of these shapes.
        name = f"d{settings['descriptor_dim']}-{'none' if shape is None else 'x'.join(map(str, shape))}"
        own = f"{self.setup.prefix}_{beside}" if beside else self.setup.prefix
        setup = replace(self.setup, prefix=own, **changes.get("setup", {}))
        kept = Kept() if beside else self.kept
        gallery = open_milvus_gallery(setup, **settings, collection=name, open_companions=kept)
        self._opened.setdefault((own, name), []).append(gallery)
        # What the test puts in the place of the companions may be gone when it ends.
        self._again[own, name] = lambda: open_milvus_gallery(
            setup, **settings, collection=name, open_companions=Kept()
        )
        return gallery

    def close(self) -> None:
        """Remove what is in the collections, and close them."""
        for which, galleries in self._opened.items():
            if all(gallery._closing.is_set() for gallery in galleries):
                galleries.append(self._again[which]())
            engine = next(gallery._engine for gallery in galleries if not gallery._closing.is_set())
            engine.delete([row["record_id"] for row in engine.rows(EVERYTHING)])
            for gallery in galleries:
                gallery.close()
        shutil.rmtree(self.setup.objects_url, ignore_errors=True)
