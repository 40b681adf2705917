"""The quota of a collection, and what it holds, in the shared store.

Two replicas that enroll at once each see room for one: so room is reserved before anything is written, and
counted once it is there. A reservation that its replica never came back to ends by itself.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Literal

from index.errors import QuotaReachedError
from index.quota import Quota, Usage, check_quota
from index.shared.store import SharedStore

RESERVED_S: Final = 120.0
"""s that a reservation lasts: longer than writing what it is for may take."""

RESERVE: Final = """
-- KEYS quota, used, reserved (by end), reservations; ARGV its name, images, bytes, ms it lasts
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now)) do
  redis.call('HDEL', KEYS[4], name .. ':images', name .. ':bytes')
  redis.call('ZREM', KEYS[3], name)
end
local held = {images = 0, bytes = 0}
for unit, _ in pairs(held) do
  held[unit] = tonumber(redis.call('HGET', KEYS[2], unit) or 0)
end
for _, name in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  for unit, _ in pairs(held) do
    held[unit] = held[unit] + tonumber(redis.call('HGET', KEYS[4], name .. ':' .. unit) or 0)
  end
end
for place, unit in ipairs({'images', 'bytes'}) do
  local more, limit = tonumber(ARGV[1 + place]), redis.call('HGET', KEYS[1], unit)
  if limit and more > 0 and held[unit] + more > tonumber(limit) then return {unit, limit} end
end
redis.call('ZADD', KEYS[3], string.format('%.0f', now + tonumber(ARGV[4])), ARGV[1])
redis.call('HSET', KEYS[4], ARGV[1] .. ':images', ARGV[2], ARGV[1] .. ':bytes', ARGV[3])
return {'reserved'}
"""
"""Reserve room, unless there is none: then the unit and its limit."""

END: Final = """
-- KEYS used, reserved, reservations; ARGV its name, images and bytes that are there now, bytes beside images
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1] .. ':images', ARGV[1] .. ':bytes')
redis.call('HINCRBY', KEYS[1], 'images', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'beside', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'changes', 1)
return 1
"""
"""End a reservation and count what was written."""

RELEASE: Final = """
-- KEYS used; ARGV images, bytes, bytes beside images
for place, unit in ipairs({'images', 'bytes', 'beside'}) do
  local left = tonumber(redis.call('HGET', KEYS[1], unit) or 0) - tonumber(ARGV[place])
  redis.call('HSET', KEYS[1], unit, string.format('%.0f', math.max(left, 0)))
end
redis.call('HINCRBY', KEYS[1], 'changes', 1)
return 1
"""

RECOUNT: Final = """
-- KEYS used; ARGV images, bytes of images
local beside = tonumber(redis.call('HGET', KEYS[1], 'beside') or 0)
redis.call('HSET', KEYS[1], 'images', ARGV[1], 'bytes', string.format('%.0f', ARGV[2] + beside))
redis.call('HINCRBY', KEYS[1], 'changes', 1)
return 1
"""

SETTLE: Final = """
-- KEYS used, reserved (by end); ARGV changes until then, images, bytes of images
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('ZCOUNT', KEYS[2], '(' .. string.format('%.0f', now), '+inf') > 0 then return 0 end
local function held(name) return tonumber(redis.call('HGET', KEYS[1], name) or 0) end
if held('changes') ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'images', ARGV[2], 'bytes', string.format('%.0f', ARGV[3] + held('beside')))
redis.call('HINCRBY', KEYS[1], 'changes', 1)
return 1
"""
"""Set what images take, unless something has changed since or is about to."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room that is held for what is about to be written."""

    name: str
    images: int
    bytes: int


class SharedQuotas:
    """See `index.gallery.GalleryQuotas`; and what an enrollment needs to stay within it.

    Args:
        store: where they are.
        collection: the token of the collection.
        reserved_s: s that a reservation lasts at most.
    """

    def __init__(self, store: SharedStore, collection: str, reserved_s: float = RESERVED_S) -> None:
        self._store = store
        self._quota, self._used, self._reserved, self._reservations = (
            store.key("collection", collection, "quota", part)
            for part in ("set", "used", "reserved", "reservations")
        )
        self._reserved_ms = int(1000 * reserved_s)

    def quota(self) -> Quota:
        """What is set. Raises SharedStoreError."""
        with self._store.client() as client:
            found = client.hgetall(self._quota)
        with self._store.understood("the quota of a collection"):
            return Quota(_number(found, b"images"), _number(found, b"bytes"))

    def usage(self) -> Usage:
        """What it holds now, reservations left out. Raises SharedStoreError."""
        with self._store.client() as client:
            found = client.hgetall(self._used)
        with self._store.understood("what a collection holds"):
            return Usage(_number(found, b"images") or 0, _number(found, b"bytes") or 0)

    def set(self, quota: Quota) -> None:
        """Set it, durably. What is enrolled stays, also where it is more.

        Raises:
            InvalidQuotaError: a limit is not 0 or more.
            SharedStoreError: it cannot be kept.
        """
        check_quota(quota)
        limits = {"images": quota.images, "bytes": quota.bytes}
        given = {unit: limit for unit, limit in limits.items() if limit is not None}
        with self._store.client() as client, client.pipeline(transaction=True) as steps:
            steps.delete(self._quota)
            if given:
                steps.hset(self._quota, mapping=given)
            steps.execute()

    def reserve(self, images: int, size: int) -> Reservation:
        """Hold room for so many images and bytes; end it by `count` or `cancel`.

        Raises:
            QuotaReachedError: there is none.
            SharedStoreError: the store does not answer.
        """
        reservation = Reservation(secrets.token_hex(8), images, size)
        outcome, *limit = self._store.run(
            RESERVE,
            [self._quota, self._used, self._reserved, self._reservations],
            *(reservation.name, images, size, self._reserved_ms),
        )
        if outcome != b"reserved":
            unit: Literal["images", "bytes"] = "images" if outcome == b"images" else "bytes"
            raise QuotaReachedError(unit, int(limit[0]))
        return reservation

    def count(self, reservation: Reservation) -> None:
        """What was reserved is written. Raises SharedStoreError."""
        self._end(reservation, reservation.images, reservation.bytes)

    def cancel(self, reservation: Reservation) -> None:
        """What was reserved is not written, or was there before. Raises SharedStoreError."""
        self._end(reservation, 0, 0)

    def release(self, images: int, size: int) -> None:
        """So many images and bytes are gone. Raises SharedStoreError."""
        self._store.run(RELEASE, [self._used], images, size, 0 if images else size)

    def recount(self, usage: Usage) -> None:
        """Set what its images take, as counted in the gallery itself. Raises SharedStoreError."""
        self._store.run(RECOUNT, [self._used], usage.images, usage.bytes)

    def changes(self) -> int:
        """A number that grows with every change of what it holds. Raises SharedStoreError."""
        with self._store.client() as client:
            found = client.hgetall(self._used)
        with self._store.understood("what a collection holds"):
            return _number(found, b"changes") or 0

    def settle(self, changes: int, images: Usage) -> bool:
        """Set what the images take where `changes` is still that and nothing is reserved; else False.

        What frames, probes and watches take stays. Raises SharedStoreError.
        """
        keys = [self._used, self._reserved]
        return bool(self._store.run(SETTLE, keys, changes, images.images, images.bytes))

    def _end(self, reservation: Reservation, images: int, size: int) -> None:
        keys = [self._used, self._reserved, self._reservations]
        self._store.run(END, keys, reservation.name, images, size, 0 if reservation.images else size)


def _number(found: dict[bytes, bytes], unit: bytes) -> int | None:
    value = found.get(unit)
    return None if value is None else int(value)
