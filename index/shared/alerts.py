"""The alerts of a collection in the shared store, and whose delivery some replica tries now.

An alert names its image by the number of its enrollment alone; what is known of the image is asked of the
gallery, so that nothing of one that was deleted is shown, whatever is left here. Moments are the store's own,
so that no two replicas have to agree on theirs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from index import watches
from index.database.rows import to_datetime, to_microseconds
from index.errors import UnknownAlertError
from index.milvus.companions import Enrolled
from index.record import Record
from index.shared.watchscripts import WatchScripts
from index.validation import check_limit
from index.watches import OF_ONE_WATCH, Alert, AlertPage, DeliveryState, Raised

TAKEN_S: Final = 60.0
"""s that a replica has a delivery for itself: longer than it may take with its noting."""
PIECE: Final = 500
"""Alerts that one script raises or forgets."""
LOOKED_AT_EVERY_S: Final = 1.0
"""s after which whoever listens looks for alerts that another replica raised."""

RAISE: Final = """
-- ARGV most that are kept; then watch, number, similarity, threshold of each
local made, last = {}, nil
local time = math.max(now(), tonumber(redis.call('GET', key('raised-at')) or 0))
for place = 2, #ARGV, 4 do
  local watch, record = ARGV[place], ARGV[place + 1]
  local pair = watch .. ':' .. record
  if redis.call('HEXISTS', key('watches'), watch) == 1 and redis.call('ZSCORE', key('order'), record)
      and redis.call('HEXISTS', key('pairs'), pair) == 0 then
    last = redis.call('INCR', key('last-alert'))
    local values = {watch, record, ARGV[place + 2], ARGV[place + 3], text(time)}
    redis.call('HSET', key('data'), last, table.concat(values, ' '))
    redis.call('HSET', key('pairs'), pair, last)
    redis.call('ZADD', key('by-record'), 0, record .. ':' .. watch)
    redis.call('ZADD', key('alerts'), last, last)
    redis.call('ZADD', key('of:' .. watch), last, last)
    if redis.call('HEXISTS', key('webhooks'), watch) == 1 then
      set_state(last, {state = 'waiting', attempts = 0, due = text(time), problem = '', watch = watch})
    end
    table.insert(made, last)
  end
end
if last then
  redis.call('SET', key('raised-at'), text(time))
  local oldest = text(last - tonumber(ARGV[1]))
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('alerts'), '-inf', oldest, 'LIMIT', 0, 2000)) do
    forget_alert(id)
  end
end
return made
"""
"""Of what was deleted meanwhile, or was looked at by another replica, nothing is raised."""

PAGE: Final = """
-- ARGV before, since, watch, delivery, limit; '' for none
local before, since, watch, delivery, limit = unpack(ARGV)
local name = 'alerts'
if watch ~= '' then name = 'of:' .. watch end
if delivery == 'dead' then name = watch ~= '' and 'dead:' .. watch or 'dead' end
local top, found = before ~= '' and '(' .. before or '+inf', {}
while true do
  local ids = redis.call('ZREVRANGEBYSCORE', key(name), top, '-inf', 'LIMIT', 0, 500)
  if #ids == 0 then return found end
  for _, id in ipairs(ids) do
    top = '(' .. id
    local shown = shown_alert(id)
    if shown and since ~= '' and tonumber(string.match(shown[2], '(%S+)$')) < tonumber(since) then
      return found
    end
    if shown and (delivery == '' or string.match(shown[3], '^(%S*)') == delivery) then
      table.insert(found, shown)
      if #found >= tonumber(limit) then return found end
    end
  end
end
"""

AFTER: Final = """
-- ARGV id, limit
local found = {}
local ids = redis.call('ZRANGEBYSCORE', key('alerts'), '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  table.insert(found, shown_alert(id) or {id})
end
return found
"""

DUE: Final = """
-- ARGV of one watch, limit
local waiting, found = {}, {}
for _, watch in ipairs(redis.call('HKEYS', key('watches'))) do
  local ids = redis.call('ZRANGEBYSCORE', key('waiting:' .. watch), '-inf', text(now()),
    'WITHSCORES', 'LIMIT', 0, ARGV[1])
  for place = 1, #ids, 2 do table.insert(waiting, {tonumber(ids[place + 1]), tonumber(ids[place])}) end
end
table.sort(waiting, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
for place = 1, math.min(#waiting, tonumber(ARGV[2])) do
  table.insert(found, shown_alert(text(waiting[place][2])))
end
return found
"""

WAITING: Final = """
local soonest, count = '', 0
for _, watch in ipairs(redis.call('HKEYS', key('watches'))) do
  local first = redis.call('ZRANGE', key('waiting:' .. watch), 0, 0, 'WITHSCORES')
  if #first > 0 then
    count = count + redis.call('ZCARD', key('waiting:' .. watch))
    if soonest == '' or tonumber(first[2]) < soonest then soonest = tonumber(first[2]) end
  end
end
return {soonest == '' and '' or text(soonest), count, redis.call('ZCARD', key('dead'))}
"""
"""When the next may be delivered, how many wait, and how many are dead."""

TAKE: Final = """
-- ARGV id, replica, us that it is taken for
local it = alert_state(ARGV[1])
if not it or it.state ~= 'waiting' then return 0 end
local waiting, time = key('waiting:' .. it.watch), now()
if tonumber(redis.call('ZSCORE', waiting, ARGV[1])) > time then return 0 end
redis.call('ZADD', waiting, text(time + tonumber(ARGV[3])), ARGV[1])
redis.call('HSET', key('leases'), ARGV[1], ARGV[2])
return 1
"""

NOTE: Final = """
-- ARGV id, replica, delivered, waiting or dead, us when it is due or -, problem
local it = alert_state(ARGV[1])
if not it or it.state ~= 'waiting' then return 0 end
local holder = redis.call('HGET', key('leases'), ARGV[1])
if ARGV[3] ~= 'delivered' and holder and holder ~= ARGV[2] then return 0 end
it.state, it.attempts, it.due, it.problem = ARGV[3], it.attempts + 1, ARGV[4], ARGV[5]
set_state(ARGV[1], it)
return 1
"""
"""What failed while another replica had begun to try again is that one's to note."""

CHANGE_DEAD: Final = """
-- ARGV id, waiting or dropped
local it = alert_state(ARGV[1])
if not it or it.state ~= 'dead' then return 0 end
it.state = ARGV[2]
if it.state == 'waiting' then it.attempts, it.due = 0, text(now()) end
set_state(ARGV[1], it)
return 1
"""

FORGET: Final = """
-- ARGV record or watch, its number, most
local found = 0
if ARGV[1] == 'watch' then
  for _, id in ipairs(redis.call('ZRANGE', key('of:' .. ARGV[2]), 0, ARGV[3] - 1)) do
    forget_alert(id)
    found = found + 1
  end
  return found
end
local first, last = '[' .. ARGV[2] .. ':', '(' .. ARGV[2] .. ';'
for _, member in ipairs(redis.call('ZRANGEBYLEX', key('by-record'), first, last, 'LIMIT', 0, ARGV[3])) do
  local record, watch = string.match(member, '^(.*):(.*)$')
  local id = redis.call('HGET', key('pairs'), watch .. ':' .. record)
  if id then forget_alert(id) else redis.call('ZREM', key('by-record'), member) end
  found = found + 1
end
return found
"""


class SharedAlerts:
    """See `index.gallery_watches.GalleryAlerts`.

    Args:
        scripts: of the collection's watches.
        enrolled: the images of the gallery.
    """

    others_every_s = LOOKED_AT_EVERY_S

    def __init__(self, scripts: WatchScripts, enrolled: Enrolled) -> None:
        self._scripts = scripts
        self._enrolled = enrolled
        self._replica = secrets.token_hex(8)

    def page(
        self,
        before: int | None = None,
        limit: int = 100,
        *,
        since: datetime | None = None,
        watch_id: int | None = None,
        delivery: DeliveryState | None = None,
    ) -> AlertPage:
        """Up to `limit` alerts, the newest first; see `GalleryAlerts.page`."""
        check_limit(limit)
        moment = None if since is None else to_microseconds(since)
        given = ("" if value is None else value for value in (before, moment, watch_id, delivery))
        rows = self._scripts.run(PAGE, *given, limit + 1)
        shown = rows[:limit]
        return AlertPage(tuple(self._alerts(shown)), int(shown[-1][0]) if len(rows) > limit else None)

    def after(self, alert_id: int, limit: int) -> list[Alert]:
        """Up to `limit` alerts that were raised after this one, in order."""
        while True:
            rows = self._scripts.run(AFTER, alert_id, limit)
            found = self._alerts([row for row in rows if len(row) > 1])
            # Those of images that are just being deleted must not hide what comes after them.
            if found or len(rows) < limit:
                return found
            alert_id = int(rows[-1][0])

    def last(self) -> int:
        """The greatest id that an alert was given; 0 before the first."""
        with self._scripts.store.client() as client:
            found = client.get(self._scripts.key("last-alert"))
        with self._scripts.store.understood("the last alert's id"):
            return int(found or 0)

    def due(self, now: datetime, limit: int) -> list[Alert]:  # noqa: ARG002 - by the store's clock
        """Alerts whose delivery is due and which no replica has taken, the longest waiting first."""
        return self._alerts(self._scripts.run(DUE, OF_ONE_WATCH, limit))

    def next_due(self) -> datetime | None:
        """When the next delivery is due, or one that a replica has taken may be taken again."""
        soonest = self.waiting()[0]
        return None if soonest is None else to_datetime(soonest)

    def take(self, alert_id: int) -> bool:
        """Have a delivery for this replica alone for a while; see `GalleryAlerts.take`."""
        return bool(self._scripts.run(TAKE, alert_id, self._replica, int(TAKEN_S * 1e6)))

    def delivered(self, alert_id: int) -> None:
        """A delivery was accepted; of an alert that is gone nothing is noted."""
        self._scripts.run(NOTE, alert_id, self._replica, "delivered", "-", "")

    def failed(self, alert_id: int, problem: str, again_at: datetime | None) -> None:
        """A delivery failed; it is tried again at a moment, or is a dead letter with None."""
        state = "dead" if again_at is None else "waiting"
        due = "-" if again_at is None else to_microseconds(again_at)
        self._scripts.run(NOTE, alert_id, self._replica, state, due, problem)

    def retry(self, alert_id: int) -> Alert:
        """Have a dead letter delivered again, from now on. Raises UnknownAlertError."""
        self._change_dead(alert_id, "waiting")
        for alert in self.after(alert_id - 1, 1):
            if alert.id == alert_id:
                return alert
        raise UnknownAlertError(alert_id)

    def drop(self, alert_id: int) -> None:
        """Give a dead letter up for good; its alert stays. Raises UnknownAlertError."""
        self._change_dead(alert_id, "dropped")

    def raise_all(self, alerts: Sequence[Raised]) -> list[int]:
        """Keep alerts; ids of those that are new."""
        made: list[int] = []
        for first in range(0, len(alerts), PIECE):
            piece = alerts[first : first + PIECE]
            values = [
                value
                for one in piece
                for value in (one.watch_id, one.record_id, repr(one.similarity), repr(one.threshold))
            ]
            made += map(int, self._scripts.run(RAISE, watches.MOST_ALERTS, *values))
        return made

    def waiting(self) -> tuple[int | None, int, int]:
        """us when the next may be delivered, how many wait, and how many are dead letters."""
        soonest, waiting, dead = self._scripts.run(WAITING)
        with self._scripts.store.understood("what waits for its delivery"):
            return int(soonest) if soonest else None, int(waiting), int(dead)

    def forget(self, which: str, number: int) -> int:
        """Forget the alerts of a `record` or a `watch`; how many there were."""
        gone = 0
        while True:
            count = int(self._scripts.run(FORGET, which, number, PIECE))
            gone += count
            if count < PIECE:
                return gone

    def _change_dead(self, alert_id: int, state: DeliveryState) -> None:
        if not self._scripts.run(CHANGE_DEAD, alert_id, state):
            raise UnknownAlertError(alert_id)

    def _alerts(self, rows: Sequence[Any]) -> list[Alert]:
        with self._scripts.store.understood("an alert"):
            numbers = sorted({int(row[1].split()[1]) for row in rows})
        records = self._enrolled.records(numbers)
        with self._scripts.store.understood("an alert"):
            return [alert for row in rows if (alert := _alert(row, records)) is not None]


def _alert(row: Sequence[bytes], records: Mapping[int, Record]) -> Alert | None:
    number, data, delivery, watch = row
    watch_id, record_id, similarity, threshold, raised_at = data.split()
    record = records.get(int(record_id))
    if record is None:
        return None
    state, attempts, due_at, problem = delivery.decode().split(" ", 3) if delivery else (None, "0", "-", "")
    return Alert(
        id=int(number),
        watch_id=int(watch_id),
        watch_name=json.loads(watch)["name"],
        record=record,
        similarity=float(similarity),
        threshold=float(threshold),
        raised_at=to_datetime(int(raised_at)),
        delivery=state,  # type: ignore[arg-type]
        attempts=int(attempts),
        due_at=None if due_at == "-" else to_datetime(int(due_at)),
        problem=problem or None,
    )
