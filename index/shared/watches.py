"""The watches of a collection in the shared store, with their files, descriptors and secrets.

Redis knows no enrolled images: who writes and deletes them tells (`index.milvus.writing`). A watch that is
made of an image looks at it once more after it was written, so that of a watch and a deletion at the same
moment nothing is left; what a replica left that ended in between, `sweep` removes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index import watches
from index.database.rows import to_datetime, to_microseconds
from index.errors import DamagedImageError, TooManyWatchesError, UnknownImageError, UnknownWatchError
from index.milvus.companions import Enrolled
from index.record import GalleryHeader, Record
from index.shared.alerts import SharedAlerts
from index.shared.owed import Owed
from index.shared.quotas import SharedQuotas
from index.shared.store import SharedStore
from index.shared.watchscripts import WatchScripts
from index.validation import check_probes, storable
from index.verdicts import digest_of
from index.watches import ROOM, NewWatch, Raised, Sightings, Watch, Watched, WatchState

FORGOTTEN_S: Final = 3600.0
"""s after which a number has no row, and will have none: as `index.milvus.sweep.GRACE_S`."""
SWEPT: Final = 1000
"""Numbers that a sweep looks up at a time."""

ADD: Final = """
-- ARGV most, watch (JSON), record, digest, descriptor, file, webhook, secret; '' for none
local count = redis.call('HLEN', key('watches'))
if count >= tonumber(ARGV[1]) then return {'many'} end
if count == 0 then
  -- Nobody has looked at what was enrolled until now, and nobody has to.
  for _, record in ipairs(redis.call('ZRANGE', key('order'), 0, -1)) do settled(record) end
end
local watch = redis.call('INCR', key('last-watch'))
redis.call('HSET', key('watches'), watch, ARGV[2])
redis.call('HSET', key('after'), watch, redis.call('GET', key('place')) or 0)
redis.call('HSET', key('descriptors'), watch, ARGV[5])
if ARGV[3] ~= '' then redis.call('ZADD', key('made-of'), 0, ARGV[3] .. ':' .. watch) end
if ARGV[4] ~= '' then
  redis.call('ZADD', key('copies'), 0, ARGV[4] .. ':' .. watch)
  redis.call('HSET', key('files'), watch, ARGV[6])
end
if ARGV[7] ~= '' then
  redis.call('HSET', key('webhooks'), watch, ARGV[7])
  redis.call('HSET', key('secrets'), watch, ARGV[8])
end
return {'kept', watch}
"""

REMOVE: Final = """
-- ARGV watch
local watch = redis.call('HGET', key('watches'), ARGV[1])
if not watch then return -1 end
local size, its = redis.call('HSTRLEN', key('files'), ARGV[1]), cjson.decode(watch)
if its.record then redis.call('ZREM', key('made-of'), its.record .. ':' .. ARGV[1]) end
if its.digest then redis.call('ZREM', key('copies'), its.digest .. ':' .. ARGV[1]) end
for _, name in ipairs({'watches', 'after', 'descriptors', 'files', 'webhooks', 'secrets'}) do
  redis.call('HDEL', key(name), ARGV[1])
end
redis.call('SADD', key('gone'), ARGV[1])
return size
"""
"""The size of its file, -1 where there is no such watch; its alerts are not shown from then on."""

READ: Final = """
-- ARGV watches; all where none is named
local found, wanted = {}, ARGV
if #ARGV == 0 then wanted = redis.call('HKEYS', key('watches')) end
for _, watch in ipairs(wanted) do
  local its = redis.call('HGET', key('watches'), watch)
  if its then
    local alerts = redis.call('ZCARD', key('of:' .. watch))
    table.insert(found, {watch, its, redis.call('HGET', key('after'), watch), alerts})
  end
end
return found
"""

NAMED: Final = """
-- ARGV made-of or copies, record or digest
local found = {}
local first, last = '[' .. ARGV[2] .. ':', '(' .. ARGV[2] .. ';'
for _, member in ipairs(redis.call('ZRANGEBYLEX', key(ARGV[1]), first, last)) do
  table.insert(found, string.match(member, ':(.*)$'))
end
return found
"""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A watch as it is in the store: of `record` or of a file, and what it looks at."""

    id: int
    told: dict[str, Any]
    record: int | None
    after: int
    alerts: int


class SharedWatches:
    """See `index.gallery_watches.GalleryWatches`; and what the gallery tells of its images.

    Args:
        store: where they are.
        collection: the token of the collection.
        header: of the gallery.
        enrolled: its images.
        quotas: of the collection; files count.
        forgotten: called after something was forgotten, so that it is erased from the store's file too.
    """

    def __init__(
        self,
        store: SharedStore,
        collection: str,
        header: GalleryHeader,
        enrolled: Enrolled,
        quotas: SharedQuotas,
        forgotten: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._scripts = WatchScripts(store, collection)
        self._header = header
        self._enrolled = enrolled
        self._quotas = quotas
        self._forgotten = forgotten
        self._owed = Owed(self._scripts)
        self._tell: Callable[[], None] = lambda: None
        self._descriptors: dict[int, NDArray[np.float32]] = {}
        self.alerts = SharedAlerts(self._scripts, enrolled)

    def on_enrolled(self, tell: Callable[[], None]) -> None:
        """Have `tell` called after each enrollment by this replica, from its thread."""
        self._tell = tell

    def add(self, new: NewWatch) -> Watch:
        """Keep a watch; see `GalleryWatches.add`. Raises SharedStoreError, too."""
        if new.descriptor is not None:
            check_probes(new.descriptor[np.newaxis], self._header)
        record, descriptor = None, new.descriptor
        if new.image_id is not None:
            record = self._enrolled.number(new.image_id) if storable(new.image_id) else None
            found = None if record is None else self._enrolled.descriptors([record]).get(record)
            if found is None:
                raise UnknownImageError(new.image_id)
            descriptor = found[1]
        if descriptor is None:
            raise ValueError("a watch is made of an enrolled image, or of a file and its descriptor")
        digest = None if new.data is None else digest_of(new.data)
        told = {
            "name": new.name,
            # As text: what Redis reads of JSON has no whole numbers.
            "record": None if record is None else str(record),
            "digest": digest,
            "media_type": new.media_type,
            "camera_id": new.camera_id,
            "threshold": new.threshold,
            "cameras": sorted(new.cameras),
            "webhook": new.webhook,
            "at": str(to_microseconds(new.created_at or datetime.now(UTC))),
            "by": new.created_by,
        }
        # Without what is not given: Redis reads null of JSON as something.
        known = json.dumps({name: value for name, value in told.items() if value is not None})
        reservation = self._quotas.reserve(0, len(new.data or b"") + ROOM)
        is_kept = False
        try:
            outcome, *rest = self._scripts.run(
                ADD,
                *(watches.MOST_WATCHES, known, "" if record is None else record, digest or ""),
                *(descriptor.astype("<f4").tobytes(), new.data or b"", new.webhook or "", new.secret or ""),
            )
            if outcome == b"many":
                raise TooManyWatchesError(watches.MOST_WATCHES)
            is_kept = True
        finally:
            (self._quotas.count if is_kept else self._quotas.cancel)(reservation)
        watch_id = int(rest[0])
        if new.image_id is not None and self._enrolled.number(new.image_id) != record:
            self._remove(watch_id)
            raise UnknownImageError(new.image_id)
        return self.get(watch_id)

    def get(self, watch_id: int) -> Watch:
        """A watch. Raises UnknownWatchError and SharedStoreError."""
        for watch in self._shown(self._read(watch_id)):
            return watch
        raise UnknownWatchError(watch_id)

    def all(self) -> list[Watch]:
        """All watches, in order. Raises SharedStoreError."""
        return self._shown(self._read())

    def image(self, watch_id: int) -> tuple[bytes, str]:
        """The file that a watch was made of, and its media type; see `GalleryWatches.image`."""
        watch = self.get(watch_id)
        if watch.image_id is not None:
            return self._enrolled.image(watch.image_id)
        with self._store.client() as client:
            data = client.hget(self._scripts.key("files"), str(watch_id))
        for kept in self._read(watch_id):
            if data is None or digest_of(data) != kept.told["digest"]:
                raise DamagedImageError(str(watch_id), "watch's file")
            return data, str(kept.told["media_type"])
        raise UnknownWatchError(watch_id)

    def webhook(self, watch_id: int) -> tuple[str, str] | None:
        """Webhook and secret of a watch; None where it has none, or is gone. Raises SharedStoreError."""
        with self._store.client() as client, client.pipeline(transaction=True) as steps:
            steps.hget(self._scripts.key("webhooks"), str(watch_id))
            steps.hget(self._scripts.key("secrets"), str(watch_id))
            url, secret = steps.execute()
        return None if url is None or secret is None else (url.decode(), secret.decode())

    def remove(self, watch_id: int) -> None:
        """Forget a watch and its alerts. Raises UnknownWatchError and SharedStoreError."""
        if not self._remove(watch_id):
            raise UnknownWatchError(watch_id)
        self._forgotten()

    def watched(self) -> list[Watched]:
        """What new images are compared with, in order; descriptors, which never change, are read once."""
        kept = self._read()
        records = self._records(kept)
        descriptors = {one.id: self._descriptors[one.id] for one in kept if one.id in self._descriptors}
        missing = [one.id for one in kept if one.id not in descriptors]
        if missing:
            with self._store.client() as client:
                found = client.hmget(self._scripts.key("descriptors"), [str(one) for one in missing])
            for watch_id, data in zip(missing, found, strict=True):
                if data is not None:
                    descriptors[watch_id] = np.frombuffer(data, "<f4").astype(np.float32)
        self._descriptors = descriptors
        return [
            Watched(
                one.id,
                one.after,
                descriptors[one.id],
                one.told.get("camera_id") if one.record is None else records[one.record].camera_id,
                one.told.get("threshold"),
                frozenset(one.told["cameras"]),
            )
            for one in kept
            if one.id in descriptors and (one.record is None or one.record in records)
        ]

    def unchecked(self, limit: int) -> Sightings | None:
        """Images that no watch has looked at, for this replica alone for a while; see `GalleryWatches`."""
        while taken := self._owed.take(limit):
            found = self._enrolled.descriptors([one.number for one in taken])
            unplaced = [one.number for one in taken if one.place is None and one.number in found]
            self._owed.acknowledge(unplaced)
            absent = [one for one in taken if one.number not in found]
            gone = [one.number for one in absent if one.place is not None or one.age_s > FORGOTTEN_S]
            self._owed.settle(gone)
            self._owed.defer([one.number for one in absent if one.place is None and one.age_s <= FORGOTTEN_S])
            ready = sorted(
                (one.number, one.place) for one in taken if one.number in found and one.place is not None
            )
            if ready:
                numbers = [number for number, _ in ready]
                return Sightings(
                    last=numbers[-1],
                    ids=np.array(numbers, np.int64),
                    places=np.array([place for _, place in ready], np.int64),
                    cameras=[found[number][0] for number in numbers],
                    descriptors=np.stack([found[number][1] for number in numbers]),
                )
        return None

    def raised(self, alerts: Sequence[Raised], found: Sightings) -> list[int]:
        """Keep alerts, and that images are looked at; see `GalleryWatches.raised`."""
        made = self.alerts.raise_all(alerts)
        self._owed.settle(found.ids.tolist())
        return made

    def state(self) -> WatchState:
        """How many watches and deliveries there are, and how far behind the watches are."""
        with self._store.client() as client:
            count = int(client.hlen(self._scripts.key("watches")))
        _, waiting, dead = self.alerts.waiting()
        behind = self._enrolled.records(self._owed.oldest(16)) if count else {}
        since = behind[min(behind)].enrolled_at if behind else None
        return WatchState(count, waiting, dead, since)

    def owe(self, record_ids: Sequence[int]) -> None:
        """Rows of these numbers are about to be written. Raises SharedStoreError: write none."""
        self._owed.owe(record_ids)

    def enrolled(self, record_ids: Sequence[int]) -> None:
        """They are written: watches look at them."""
        try:
            self._owed.acknowledge(record_ids)
        finally:
            self._tell()

    def forget_copies(self, digests: Sequence[str]) -> None:
        """Forget watches of files with the bytes of images (SHA-256, in hex) that are about to be deleted."""
        self._forget("copies", digests)

    def forget(self, record_ids: Sequence[int]) -> None:
        """Forget what is kept of images that were just deleted: watches made of them, and their alerts."""
        self._owed.settle(record_ids)
        self._forget("made-of", [str(number) for number in record_ids])
        gone = sum(self.alerts.forget("record", number) for number in record_ids)
        if gone:
            self._forgotten()

    def sweep(self) -> int:
        """Forget what replicas left that ended in between; how many watches and images that concerns."""
        with self._store.client() as client:
            named = {
                int(member.partition(b":")[0])
                for name in ("made-of", "by-record")
                for member, _ in client.zscan_iter(self._scripts.key(name), count=SWEPT)
            }
            removed = [int(watch) for watch in client.smembers(self._scripts.key("gone"))]
        numbers = sorted(named)
        gone: list[int] = []
        for first in range(0, len(numbers), SWEPT):
            piece = numbers[first : first + SWEPT]
            there = self._enrolled.records(piece)
            gone += [number for number in piece if number not in there]
        self.forget(gone)
        for watch_id in removed:
            self._finish(watch_id)
        return len(gone) + len(removed)

    def _forget(self, which: str, names: Sequence[str]) -> None:
        found = [int(watch) for name in names for watch in self._scripts.run(NAMED, which, name)]
        removed = [self._remove(watch_id) for watch_id in found]
        if any(removed):
            self._forgotten()

    def _remove(self, watch_id: int) -> bool:
        size = int(self._scripts.run(REMOVE, watch_id))
        if size < 0:
            return False
        self._quotas.release(0, size + ROOM)
        self._finish(watch_id)
        return True

    def _finish(self, watch_id: int) -> None:
        self.alerts.forget("watch", watch_id)
        with self._store.client() as client:
            client.srem(self._scripts.key("gone"), watch_id)

    def _read(self, *watch_ids: int) -> list[_Kept]:
        rows = self._scripts.run(READ, *watch_ids)
        with self._store.understood("a watch"):
            found = []
            for watch_id, watch, after, alerts in rows:
                told = json.loads(watch)
                record = int(told["record"]) if "record" in told else None
                found.append(_Kept(int(watch_id), told, record, int(after), int(alerts)))
        return sorted(found, key=lambda one: one.id)

    def _records(self, kept: Sequence[_Kept]) -> dict[int, Record]:
        numbers = {one.record for one in kept if one.record is not None}
        return self._enrolled.records(sorted(numbers)) if numbers else {}

    def _shown(self, kept: Sequence[_Kept]) -> list[Watch]:
        records = self._records(kept)
        with self._store.understood("a watch"):
            return [
                _watch(one, None if one.record is None else records[one.record])
                for one in kept
                if one.record is None or one.record in records
            ]


def _watch(kept: _Kept, record: Record | None) -> Watch:
    told = kept.told
    return Watch(
        id=kept.id,
        name=told["name"],
        image_id=None if record is None else record.image_id,
        camera_id=told.get("camera_id") if record is None else record.camera_id,
        threshold=told.get("threshold"),
        cameras=frozenset(told["cameras"]),
        webhook=told.get("webhook"),
        created_at=to_datetime(int(told["at"])),
        created_by=told.get("by"),
        alerts=kept.alerts,
    )
