"""The quota of a local gallery, and what it holds."""

from __future__ import annotations

from index.database.quota import BYTES, IMAGES, read_quota, used_bytes
from index.local.mirror import Mirror
from index.quota import Quota, Usage, check_quota


class LocalQuotas:
    """See `index.gallery.GalleryQuotas`.

    Args:
        mirror: the database.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def quota(self) -> Quota:
        """What is set. Raises GalleryClosedError."""
        with self._mirror.store.reading() as connection:
            return read_quota(connection)

    def usage(self) -> Usage:
        """What it holds now. Raises GalleryClosedError."""
        with self._mirror.store.reading() as connection:
            return Usage(self._mirror.vectors.count, used_bytes(connection))

    def set(self, quota: Quota) -> None:
        """Set it, durably. What is enrolled stays, also where it is more.

        Raises:
            InvalidQuotaError: a limit is not 0 or more.
            GalleryFullError: there is no room for it.
        """
        check_quota(quota)
        with self._mirror.settled():
            self._mirror.store.set_some({IMAGES: quota.images, BYTES: quota.bytes})
