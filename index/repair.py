"""Making anew what a gallery derives from its database."""

from __future__ import annotations

from pathlib import Path

from index.local import LocalGallery


def rebuild(folder: Path) -> int:
    """Build the vector index from the database and write its snapshot; how many images the gallery holds.

    Raises:
        FileNotFoundError: there is no gallery.
        GalleryError: it cannot be opened.
        OSError: the snapshot cannot be written.
    """
    header = LocalGallery.describe(folder)
    with LocalGallery.open(
        folder,
        fingerprint=header.fingerprint,
        descriptor_dim=header.descriptor_dim,
        strips_shape=header.strips_shape,
        use_snapshot=False,
    ) as gallery:
        gallery.snapshot()
        return gallery.count()
