"""Each camera's sums in the shared store: as `index.database.cameras`, in transactions of Redis.

A sum is read, added to and written back in one transaction, which is repeated where another replica came in
between. Sums are whole numbers, so that it does not matter who comes first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import WatchError

from index.cameras.sums import CALIBRATED, ENROLLED, NO_CAMERA, CameraSums, Source, Sums
from index.database.checksums import checksum
from index.errors import GalleryError
from index.shared.store import SharedStore, SharedStoreError

PATIENCE_S: Final = 10.0
"""s that a transaction is repeated for, while other replicas change the same camera."""
PAUSE_S: Final = 0.01

T = TypeVar("T")


class DamagedSumsError(GalleryError):
    """A camera's sums are not what was written; the message names it."""


class SharedCameraSums:
    """The sums of all cameras of a collection.

    Args:
        store: where they are.
        collection: the token of the collection.
        descriptor_dim: d.
        forgotten: called after images were counted no more, so that what the sums were with them is erased
            from the store's file too: of two that follow each other the difference is a descriptor.
    """

    def __init__(
        self,
        store: SharedStore,
        collection: str,
        descriptor_dim: int,
        forgotten: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._forgotten = forgotten
        self._of = ("collection", collection, "camera")
        self._known = store.key(*self._of, "known")
        self._dim = descriptor_dim

    def enrolled(self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]) -> None:
        """Count images just enrolled: the camera, None for none, and descriptor `[d]` as stored of each.

        Raises:
            SharedStoreError, DamagedSumsError: nothing was changed.
        """
        self._add(self._changes(cameras, descriptors))

    def deleted(self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]) -> None:
        """Count images no more that were just deleted: as `enrolled`."""
        nothing = Sums.nothing(self._dim)
        changes = self._changes(cameras, descriptors)
        self._add({camera_id: nothing - sums for camera_id, sums in changes.items()})
        if changes:
            self._forgotten()

    def calibrate(
        self, camera_id: str, descriptor: NDArray[np.float32], digest: bytes, *, anew: bool = False
    ) -> bool:
        """Count an image for a camera's calibration; False where this digest is counted.

        With `anew` it takes the place of those that were counted, in one transaction.
        """
        counted, key = self._counted(camera_id), self._key(CALIBRATED, camera_id)

        def change(steps: Any) -> bool:
            if not anew and steps.sismember(counted, digest):
                return False
            held = Sums.nothing(self._dim) if anew else self._read(steps.get(key), camera_id)
            steps.multi()
            if anew:
                steps.delete(counted)
            steps.sadd(counted, digest)
            self._write(steps, CALIBRATED, camera_id, held + Sums.of(descriptor[np.newaxis]))
            return True

        is_new = self._transact(change, counted, key)
        if anew:
            self._forgotten()
        return is_new

    def forget_calibration(self, camera_id: str) -> bool:
        """Remove a camera's calibration; False where it has none."""
        with self._store.client() as client, client.pipeline(transaction=True) as steps:
            steps.delete(self._counted(camera_id))
            steps.delete(self._key(CALIBRATED, camera_id))
            steps.srem(self._known, _member(CALIBRATED, camera_id))
            was_there = bool(steps.execute()[1])
        if was_there:
            self._forgotten()
        return was_there

    def read(self) -> Mapping[str, CameraSums]:
        """The sums of every camera that has images, by its id.

        Raises:
            SharedStoreError, DamagedSumsError.
        """
        nothing = Sums.nothing(self._dim)
        found: dict[str, CameraSums] = {}
        with self._store.client() as client:
            for source, camera_id in sorted(map(_named, client.smembers(self._known))):
                data = client.get(self._key(source, camera_id))
                if data is None:
                    continue
                sums = self._read(data, camera_id)
                held = found.get(camera_id) or CameraSums(camera_id, nothing, nothing)
                pair = (sums, held.calibrated) if source == ENROLLED else (held.enrolled, sums)
                found[camera_id] = CameraSums(camera_id, *pair)
        return dict(sorted(found.items()))

    def replace(self, sums: Mapping[str, Sums]) -> None:
        """Set the sums of the enrolled images of all cameras, as computed from their stored descriptors."""

        def change(steps: Any) -> None:
            known = [named for named in map(_named, steps.smembers(self._known)) if named[0] == ENROLLED]
            steps.multi()
            for source, camera_id in known:
                self._write(steps, source, camera_id, Sums.nothing(self._dim))
            for camera_id, its in sums.items():
                self._write(steps, ENROLLED, camera_id, its)

        self._transact(change, self._known)

    def _changes(
        self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]
    ) -> dict[str, Sums]:
        return {
            camera_id or NO_CAMERA: Sums.of(
                np.stack(
                    [one for one, camera in zip(descriptors, cameras, strict=True) if camera == camera_id]
                )
            )
            for camera_id in dict.fromkeys(cameras)
        }

    def _add(self, changes: Mapping[str, Sums]) -> None:
        keys = {camera_id: self._key(ENROLLED, camera_id) for camera_id in changes}

        def change(steps: Any) -> None:
            held = {camera_id: self._read(steps.get(key), camera_id) for camera_id, key in keys.items()}
            steps.multi()
            for camera_id, sums in changes.items():
                self._write(steps, ENROLLED, camera_id, held[camera_id] + sums)

        if changes:
            self._transact(change, *keys.values())

    def _transact(self, change: Callable[[Any], T], *watched: str) -> T:
        """Read, decide and write, again until nobody changed what is watched in between."""
        until = time.monotonic() + PATIENCE_S
        while True:
            with self._store.client() as client, client.pipeline(transaction=True) as steps:
                try:
                    steps.watch(*watched)
                    found = change(steps)
                    steps.execute()
                    return found
                except WatchError:
                    pass
            if time.monotonic() > until:
                raise SharedStoreError("the shared store is too busy: other replicas change this camera")
            time.sleep(PAUSE_S * random.random())  # noqa: S311 - only so that replicas do not keep step

    def _write(self, steps: Any, source: Source, camera_id: str, sums: Sums) -> None:
        key, member = self._key(source, camera_id), _member(source, camera_id)
        if not sums.count:
            steps.delete(key)
            steps.srem(self._known, member)
            return
        data = sums.to_bytes()
        head = sums.count.to_bytes(8, "big", signed=True) + checksum(sums.count, data).to_bytes(
            8, "big", signed=True
        )
        steps.set(key, head + data)
        steps.sadd(self._known, member)

    def _read(self, data: bytes | None, camera_id: str) -> Sums:
        if data is None:
            return Sums.nothing(self._dim)
        count, expected = (int.from_bytes(data[place : place + 8], "big", signed=True) for place in (0, 8))
        if len(data) != 16 + 16 * self._dim or checksum(count, data[16:]) != expected:
            raise DamagedSumsError(
                f"what the shared store has of camera {camera_id!r} is damaged; have it computed anew from "
                "the descriptors, or restore the store from a backup"
            )
        return Sums.from_bytes(count, data[16:])

    def _key(self, source: Source, camera_id: str) -> str:
        return self._store.key(*self._of, source, camera_id)

    def _counted(self, camera_id: str) -> str:
        return self._store.key(*self._of, "calibration", camera_id)


def _member(source: Source, camera_id: str) -> str:
    return f"{source}:{camera_id}"


def _named(member: bytes) -> tuple[Source, str]:
    source, _, camera_id = member.decode().partition(":")
    return (ENROLLED if source == ENROLLED else CALIBRATED), camera_id
