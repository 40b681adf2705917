"""Watches as they are in the shared store: what a script keeps, removes and reads of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index import watches
from index.database.rows import to_datetime, to_microseconds
from index.errors import TooManyWatchesError
from index.record import Record
from index.shared.watchscripts import PIECE, WatchScripts
from index.verdicts import digest_of
from index.watches import NewWatch, Watch

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
-- ARGV made-of or copies; then records or digests
local found = {}
for place = 2, #ARGV do
  local first, last = '[' .. ARGV[place] .. ':', '(' .. ARGV[place] .. ';'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', key(ARGV[1]), first, last)) do
    table.insert(found, string.match(member, ':(.*)$'))
  end
end
return found
"""


@dataclass(frozen=True, slots=True)
class WatchRow:
    """A watch as it is in the store.

    Attributes:
        fields: what was said of it, by names.
        record: the number of the enrollment that it is made of; None of a file.
        after: its place in the order of acknowledgements.
        alerts: that are kept.
    """

    id: int
    fields: dict[str, Any]
    record: int | None
    after: int
    alerts: int

    @property
    def threshold(self) -> float | None:
        """Least similarity that raises an alert; None for the model's."""
        found: float | None = self.fields.get("threshold")
        return found

    @property
    def cameras(self) -> frozenset[str]:
        """Whose images may raise one; none for all."""
        return frozenset(self.fields["cameras"])

    def camera_id(self, record: Record | None) -> str | None:
        """Of the file, or of the record that it is made of."""
        found: str | None = self.fields.get("camera_id") if record is None else record.camera_id
        return found

    def shown(self, record: Record | None) -> Watch:
        """The watch, with the record that it is made of."""
        return Watch(
            id=self.id,
            name=self.fields["name"],
            image_id=None if record is None else record.image_id,
            camera_id=self.camera_id(record),
            threshold=self.threshold,
            cameras=self.cameras,
            webhook=self.fields.get("webhook"),
            created_at=to_datetime(int(self.fields["at"])),
            created_by=self.fields.get("by"),
            alerts=self.alerts,
        )


class WatchRows:
    """All of a collection.

    Args:
        scripts: of the collection's watches.
    """

    def __init__(self, scripts: WatchScripts) -> None:
        self._scripts = scripts

    def add(self, new: NewWatch, record: int | None, descriptor: NDArray[np.float32]) -> int:
        """Keep a watch, of an enrollment's number or of a file; its id. Raises TooManyWatchesError."""
        digest = None if new.data is None else digest_of(new.data)
        fields = {
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
        known = json.dumps({name: value for name, value in fields.items() if value is not None})
        outcome, *watch_id = self._scripts.run(
            ADD,
            *(watches.MOST_WATCHES, known, "" if record is None else record, digest or ""),
            *(descriptor.astype("<f4").tobytes(), new.data or b"", new.webhook or "", new.secret or ""),
        )
        if outcome == b"many":
            raise TooManyWatchesError(watches.MOST_WATCHES)
        return int(watch_id[0])

    def remove(self, watch_id: int) -> int | None:
        """Take a watch away; bytes of its file, None where there is none. Then its alerts have to go."""
        size = int(self._scripts.run(REMOVE, watch_id))
        return None if size < 0 else size

    def finished(self, watch_id: int) -> None:
        """The alerts of one that was taken away are gone, too."""
        with self._scripts.store.client() as client:
            client.srem(self._scripts.key("gone"), watch_id)

    def unfinished(self) -> list[int]:
        """Those that were taken away, and whose alerts may be there still."""
        with self._scripts.store.client() as client:
            return [int(watch_id) for watch_id in client.smembers(self._scripts.key("gone"))]

    def read(self, *watch_ids: int) -> list[WatchRow]:
        """Those that there are of some, in order; all where none is named."""
        rows = self._scripts.run(READ, *watch_ids)
        with self._scripts.store.understood("a watch"):
            found = []
            for watch_id, watch, after, alerts in rows:
                fields = json.loads(watch)
                record = int(fields["record"]) if "record" in fields else None
                found.append(WatchRow(int(watch_id), fields, record, int(after), int(alerts)))
        return sorted(found, key=lambda one: one.id)

    def of(self, which: str, names: Sequence[str]) -> list[int]:
        """Watches that are `made-of` enrollments, or `copies` of images by their digests."""
        return [
            int(watch_id)
            for first in range(0, len(names), PIECE)
            for watch_id in self._scripts.run(NAMED, which, *names[first : first + PIECE])
        ]

    def descriptors(self, watch_ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Descriptors `[d]` of those that there are."""
        if not watch_ids:
            return {}
        with self._scripts.store.client() as client:
            found = client.hmget(self._scripts.key("descriptors"), [str(one) for one in watch_ids])
        with self._scripts.store.understood("a watch's descriptor"):
            return {
                watch_id: np.frombuffer(data, "<f4").astype(np.float32)
                for watch_id, data in zip(watch_ids, found, strict=True)
                if data is not None
            }

    def file(self, watch_id: int) -> bytes | None:
        """The file that it was made of; None where it is gone."""
        with self._scripts.store.client() as client:
            found: bytes | None = client.hget(self._scripts.key("files"), str(watch_id))
        return found

    def webhook(self, watch_id: int) -> tuple[str, str] | None:
        """Webhook and secret; None where it has none, or is gone."""
        with self._scripts.store.client() as client, client.pipeline(transaction=True) as steps:
            steps.hget(self._scripts.key("webhooks"), str(watch_id))
            steps.hget(self._scripts.key("secrets"), str(watch_id))
            url, secret = steps.execute()
        return None if url is None or secret is None else (url.decode(), secret.decode())
