"""The verdicts of a collection in the shared store, with the files of their probes.

A verdict is of a probe and of one enrollment. Redis knows no enrolled images: who deletes one calls `forget`.
A decision looks at the image once more after it was written, so that of a verdict and a deletion at the same
moment nothing is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from index import verdicts
from index.errors import DamagedImageError, TooManyVerdictsError, UnknownImageError, UnknownVerdictError
from index.shared.quotas import SharedQuotas
from index.shared.store import SharedStore
from index.validation import check_limit, storable
from index.verdicts import Decision, Verdict, VerdictPage, digest_of, size_of

LIMIT: Final = 10_000
"""Verdicts of one step of `forget`."""

DECIDE: Final = """
-- KEYS next, by id, by probe, by record, verdicts, probes, files
-- ARGV digest, record, verdict without its id (JSON), camera, media type, file, most
local member = ARGV[1] .. ':' .. ARGV[2]
local known = redis.call('ZSCORE', KEYS[2], member)
local of_probe = redis.call('ZLEXCOUNT', KEYS[3], '[' .. ARGV[1] .. ':', '(' .. ARGV[1] .. ';')
if not known and of_probe >= tonumber(ARGV[7]) then return {'many'} end
local id = known or redis.call('INCR', KEYS[1])
redis.call('ZADD', KEYS[2], id, member)
redis.call('ZADD', KEYS[3], 0, member)
redis.call('ZADD', KEYS[4], 0, ARGV[2] .. ':' .. ARGV[1])
redis.call('HSET', KEYS[5], member, ARGV[3])
local is_new = redis.call('HSETNX', KEYS[7], ARGV[1], ARGV[6])
if is_new == 1 then redis.call('HSET', KEYS[6], ARGV[1] .. ':media', ARGV[5]) end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[6], ARGV[1] .. ':camera', ARGV[4]) end
return {'decided', string.format('%.0f', tonumber(id)), is_new}
"""

FORGET: Final = """
local function forget(member)
  local digest, record = string.match(member, '^(.*):(.*)$')
  if redis.call('ZREM', KEYS[1], member) == 0 then return 0 end
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', KEYS[3], record .. ':' .. digest)
  redis.call('HDEL', KEYS[4], member)
  if redis.call('ZLEXCOUNT', KEYS[2], '[' .. digest .. ':', '(' .. digest .. ';') > 0 then return 0 end
  local size = redis.call('HSTRLEN', KEYS[6], digest)
  redis.call('HDEL', KEYS[5], digest .. ':media', digest .. ':camera')
  redis.call('HDEL', KEYS[6], digest)
  return size
end
-- KEYS by id, by probe, by record, verdicts, probes, files; ARGV which: pair, record or probe; its name; most
local members = {ARGV[2]}
local first, last = '[' .. ARGV[2] .. ':', '(' .. ARGV[2] .. ';'
if ARGV[1] == 'record' then
  members = redis.call('ZRANGEBYLEX', KEYS[3], first, last, 'LIMIT', 0, ARGV[3])
elseif ARGV[1] == 'probe' then
  members = redis.call('ZRANGEBYLEX', KEYS[2], first, last, 'LIMIT', 0, ARGV[3])
end
local gone, size = 0, 0
for _, member in ipairs(members) do
  if ARGV[1] == 'record' then member = string.gsub(member, '^(.*):(.*)$', '%2:%1') end
  if redis.call('ZSCORE', KEYS[1], member) then gone = gone + 1 end
  size = size + forget(member)
end
return {gone, size}
"""
"""Forget verdicts, and each probe with its last: how many, and the bytes of the probes' files."""

PAGE: Final = """
-- KEYS by id, verdicts, probes; ARGV after, limit
local found = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])) do
  local digest = string.match(member, '^(.*):')
  table.insert(found, {redis.call('ZSCORE', KEYS[1], member), member, redis.call('HGET', KEYS[2], member),
    redis.call('HGET', KEYS[3], digest .. ':camera')})
end
return found
"""

OF: Final = """
-- KEYS by id, by probe, verdicts, probes; ARGV digest
local found = {}
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. ARGV[1] .. ':', '(' .. ARGV[1] .. ';')) do
  table.insert(found, {redis.call('ZSCORE', KEYS[1], member), member, redis.call('HGET', KEYS[3], member),
    redis.call('HGET', KEYS[4], ARGV[1] .. ':camera')})
end
return found
"""


class SharedVerdicts:
    """See `index.gallery.GalleryVerdicts`.

    Args:
        store: where they are.
        collection: the token of the collection.
        record_of: the number of an image's enrollment; None where it is not enrolled.
        quotas: of the collection; probes' files count.
        forgotten: called after something was forgotten, so that it is erased from the store's file too.
    """

    def __init__(
        self,
        store: SharedStore,
        collection: str,
        record_of: Callable[[str], int | None],
        quotas: SharedQuotas,
        forgotten: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._record_of = record_of
        self._quotas = quotas
        self._forgotten = forgotten
        parts = ("next", "by-id", "by-probe", "by-record", "verdicts", "probes", "files")
        self._keys = [store.key("collection", collection, "verdict", part) for part in parts]

    def decide(self, decision: Decision) -> Verdict:
        """Keep a verdict.

        Raises UnknownImageError, TooManyVerdictsError, QuotaReachedError and SharedStoreError.
        """
        record_id = self._record_of(decision.image_id) if storable(decision.image_id) else None
        if record_id is None:
            raise UnknownImageError(decision.image_id)
        digest = digest_of(decision.probe)
        moment = decision.decided_at or datetime.now(UTC)
        details = {
            "image_id": decision.image_id,
            "kind": decision.kind,
            "at": int(moment.timestamp() * 1e6),
            "by": decision.decided_by,
        }
        reservation = self._quotas.reserve(0, 0 if self._has(digest) else size_of(decision))
        counts = False
        try:
            outcome, *rest = self._store.run(
                DECIDE,
                self._keys,
                *(digest, record_id, json.dumps(details), decision.camera_id or "", decision.media_type),
                *(decision.probe, verdicts.MOST),
            )
            if outcome == b"many":
                raise TooManyVerdictsError(verdicts.MOST)
            counts = bool(rest[1])
        finally:
            (self._quotas.count if counts else self._quotas.cancel)(reservation)
        if self._record_of(decision.image_id) != record_id:
            self._forget("pair", f"{digest}:{record_id}")
            raise UnknownImageError(decision.image_id)
        # As it is kept: the camera may be an earlier decision's.
        return next(one for one in self.of(digest) if one.record_id == record_id)

    def undo(self, probe: str, image_id: str) -> None:
        """Forget a verdict. Raises UnknownVerdictError and SharedStoreError."""
        for verdict in self.of(probe):
            if verdict.image_id == image_id and self._forget("pair", f"{probe}:{verdict.record_id}"):
                self._forgotten()
                return
        raise UnknownVerdictError(probe, image_id)

    def of(self, probe: str) -> tuple[Verdict, ...]:
        """The verdicts on a probe, the first decided first. Raises SharedStoreError."""
        if not _is_digest(probe):
            return ()
        _, by_id, by_probe, _, details, probes, _ = self._keys
        rows = self._store.run(OF, [by_id, by_probe, details, probes], probe)
        with self._store.understood("a verdict"):
            return tuple(_verdict(row) for row in sorted(rows, key=_number))

    def page(self, after: int | None = None, limit: int = 100) -> VerdictPage:
        """Up to `limit` verdicts, from the start or after a page's `next`. Raises SharedStoreError."""
        check_limit(limit)
        _, by_id, _, _, details, probes, _ = self._keys
        rows = self._store.run(PAGE, [by_id, details, probes], after or 0, limit + 1)
        shown = rows[:limit]
        with self._store.understood("a verdict"):
            next_ = _number(shown[-1]) if len(rows) > limit else None
            return VerdictPage(tuple(map(_verdict, shown)), next_)

    def probe(self, probe: str) -> tuple[bytes, str]:
        """A probe's file and its media type.

        Raises UnknownVerdictError, DamagedImageError and SharedStoreError.
        """
        with self._store.client() as client:
            data = client.hget(self._keys[6], probe)
            media_type = client.hget(self._keys[5], f"{probe}:media")
        if data is None or media_type is None:
            raise UnknownVerdictError(probe, None)
        if digest_of(data) != probe:
            raise DamagedImageError(probe, "probe's file")
        with self._store.understood("the media type of a probe"):
            return data, media_type.decode()

    def forget(self, record_ids: Sequence[int], images: Sequence[bytes] = ()) -> None:
        """Forget what is kept of images that were just deleted.

        Args:
            record_ids: the numbers of their enrollments.
            images: their files, so far as they are at hand: a probe with the same bytes goes, too.

        Raises:
            SharedStoreError: not all is forgotten.
        """
        gone = 0
        for name in record_ids:
            gone += self._forget("record", str(name))
        for image in images:
            gone += self._forget("probe", digest_of(image))
        if gone:
            self._forgotten()

    def _forget(self, which: str, name: str) -> int:
        gone = 0
        while True:
            count, size = self._store.run(FORGET, self._keys[1:], which, name, LIMIT)
            if size:
                self._quotas.release(0, int(size) + verdicts.MAX_TEXT)
            gone += int(count)
            if count < LIMIT:
                return gone

    def _has(self, digest: str) -> bool:
        with self._store.client() as client:
            return bool(client.hexists(self._keys[6], digest))


def _is_digest(probe: str) -> bool:
    return len(probe) == 64 and all(one in "0123456789abcdef" for one in probe)


def _number(row: Sequence[Any]) -> int:
    return int(row[0])


def _verdict(row: Sequence[Any]) -> Verdict:
    _, member, details, camera = row
    digest, _, record_id = member.decode().partition(":")
    known = json.loads(details)
    return Verdict(
        probe=digest,
        camera_id=None if camera is None else camera.decode(),
        record_id=int(record_id),
        image_id=known["image_id"],
        kind=known["kind"],
        decided_at=datetime.fromtimestamp(known["at"] / 1e6, UTC),
        decided_by=known["by"],
    )
