"""What is done with alerts in the shared store, each in one step of Redis; see `watchscripts`."""

from __future__ import annotations

from typing import Final

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
if not it or it.state ~= 'waiting' then return nil end
local waiting, time = key('waiting:' .. it.watch), now()
if tonumber(redis.call('ZSCORE', waiting, ARGV[1])) > time then return nil end
redis.call('ZADD', waiting, text(time + tonumber(ARGV[3])), ARGV[1])
redis.call('HSET', key('leases'), ARGV[1], ARGV[2])
return it.attempts
"""
"""How many deliveries were tried; nothing where none is due."""

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
-- ARGV most; then numbers of records, or of one watch after 'watch'
local most, found = tonumber(ARGV[1]), 0
if ARGV[2] == 'watch' then
  for _, id in ipairs(redis.call('ZRANGE', key('of:' .. ARGV[3]), 0, most - 1)) do
    forget_alert(id)
    found = found + 1
  end
  return found
end
for place = 2, #ARGV do
  local first, last = '[' .. ARGV[place] .. ':', '(' .. ARGV[place] .. ';'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', key('by-record'), first, last)) do
    if found >= most then return found end
    local record, watch = string.match(member, '^(.*):(.*)$')
    local id = redis.call('HGET', key('pairs'), watch .. ':' .. record)
    if id then forget_alert(id) else redis.call('ZREM', key('by-record'), member) end
    found = found + 1
  end
end
return found
"""
"""Forget alerts, so many at most; how many there were."""
