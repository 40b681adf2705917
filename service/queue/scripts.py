"""What Redis does in one step, in Lua.

Two rules carry the protocol. An entry of the stream of requests is a request without an answer: whoever
deletes it answers it, so that a request is answered once however many workers tried. And what frees memory or
only keeps a worker alive writes something small first: a Redis that is full refuses the first write of a
script, not the ones after.
"""

from __future__ import annotations

NOW = """
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function whole(number) return string.format('%.0f', number) end
"""

ADMIT = (
    NOW
    + """
-- KEYS requests, bundle; ARGV fingerprint, places, request, answers' key, ms until the deadline, trace,
-- image or batch, which of them
local bundle = redis.call('GET', KEYS[2])
if bundle ~= ARGV[1] then return {'foreign', bundle} end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[2]) then return {'full'} end
local id = redis.call('XADD', KEYS[1], '*', 'request', ARGV[3], 'answers', ARGV[4], 'fingerprint', ARGV[1],
  'deadline', whole(now() + tonumber(ARGV[5])), 'trace', ARGV[6], 'image', ARGV[7], 'kind', ARGV[8])
return {'admitted', id}
"""
)
"""Take a place and put the request there, unless all are taken or the queue is another bundle's."""

WITHDRAW = """
-- KEYS requests; ARGV group, id
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return redis.call('XDEL', KEYS[1], ARGV[2])
"""
"""Take a request back, wherever it is."""

ANSWER = """
-- KEYS requests, answers; ARGV group, id, answer, ms the answers are kept
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
"""
"""Acknowledge a request and write its answer; nothing is written where it has one, or was withdrawn."""

SET_ASIDE = """
local function set_aside(requests, dead, group, id, kept, deliveries, worker, kept_ms)
  local found = redis.call('XRANGE', requests, id, id)
  redis.call('XACK', requests, group, id)
  if redis.call('XDEL', requests, id) == 0 then return false end
  local fields = found[1][2]
  for _, value in ipairs({'entry', id, 'deliveries', deliveries, 'worker', worker}) do
    table.insert(fields, value)
  end
  redis.call('XADD', dead, 'MAXLEN', kept, '*', unpack(fields))
  redis.call('PEXPIRE', dead, kept_ms)
  return true
end
"""

BURY = (
    SET_ASIDE
    + """
-- KEYS requests, answers, dead; ARGV group, id, answer, ms answers are kept, letters kept, deliveries,
-- worker, ms that letters are kept
if not set_aside(KEYS[1], KEYS[3], ARGV[1], ARGV[2], ARGV[5], ARGV[6], ARGV[7], ARGV[8]) then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
"""
)
"""Answer as `ANSWER` does, and keep the request as a dead letter."""

EXPIRE = (
    SET_ASIDE
    + """
-- KEYS requests, dead; ARGV group, id, letters kept, ms without a sign of life, workers that suffice,
-- ms that letters are kept
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)[1]
local ended = 0
if pending then
  ended = pending[4]
  if pending[3] < tonumber(ARGV[4]) then ended = ended - 1 end
end
if ended >= tonumber(ARGV[5]) and
  set_aside(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], pending[4], pending[2], ARGV[6]) then
  return ended
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
return 0
"""
)
"""Take a request back whose deadline has passed; a dead letter where enough workers have ended with it."""

STALE = """
-- KEYS requests; ARGV group, ms without a sign of life
local found = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[2], '-', '+', 1)
return #found
"""
"""Whether there is a request that its worker seems to have left behind."""

TAKE_OVER = """
-- KEYS requests; ARGV group, worker, ms without a sign of life, deliveries at most
local found = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', 1000)
local chosen
for _, pending in ipairs(found) do
  if pending[4] >= tonumber(ARGV[4]) then chosen = pending break end
  if not chosen or pending[4] < chosen[4] then chosen = pending end
end
if not chosen then return false end
local id, holder, deliveries = chosen[1], chosen[2], chosen[4]
local entry = redis.call('XRANGE', KEYS[1], id, id)
if #entry == 0 then
  redis.call('XACK', KEYS[1], ARGV[1], id)
  return false
end
if deliveries >= tonumber(ARGV[4]) then return {'spent', deliveries, holder, id, entry[1][2]} end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id)
return {'claimed', deliveries + 1, holder, id, entry[1][2]}
"""
"""Take over a request left behind, one alone: of those with the fewest deliveries the oldest, so that one
that ends its workers keeps no other waiting. One that has had its last comes first, and is only shown."""

TOUCH = """
-- KEYS requests; ARGV group, worker, ids...
local mine = {}
for index = 3, #ARGV do
  local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[index], ARGV[index], 1, ARGV[2])
  if #found == 1 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[index], 'JUSTID')
    table.insert(mine, ARGV[index])
  end
end
return mine
"""
"""A sign of life for the requests in a worker's hands; returns those that are still its own."""

BEAT = (
    NOW
    + """
-- KEYS bundle, workers, worker, refused; ARGV fingerprint, ms the queue stays this bundle's, name,
-- what the worker says of itself or '', ms that holds
redis.call('SREM', KEYS[2], '')
local bundle = redis.call('GET', KEYS[1])
if bundle and bundle ~= ARGV[1] then
  redis.call('SET', KEYS[4], ARGV[1], 'PX', 60000)
  return {bundle, whole(now())}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[4] ~= '' then
  redis.call('SADD', KEYS[2], ARGV[3])
  redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
end
return {ARGV[1], whole(now())}
"""
)
"""A worker's sign of life. The first comer makes the queue its bundle's; the others are refused."""

LEAVE_BEHIND = """
-- KEYS requests; ARGV group, worker
local held = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000, ARGV[2])
if held.err then return 0 end
for _, pending in ipairs(held) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, pending[1], 'IDLE', 86400000, 'JUSTID')
end
return #held
"""
"""A worker is gone: what it holds has had no sign of life for a day, and is taken over at once."""

LEAVE = """
-- KEYS requests, workers, worker; ARGV group, name
redis.call('SREM', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[3])
return 1
"""
"""A worker takes no more requests."""

FORGET = """
-- KEYS requests, worker; ARGV group, name
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local held = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if held.err or #held > 0 then return 0 end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
"""
"""Remove a worker that is gone from the group, unless it still holds requests: those are taken over first."""

OVERVIEW = (
    NOW
    + """
-- KEYS bundle, requests, dead, refused, workers; ARGV fingerprint, ms the queue stays this bundle's,
-- ms that dead letters are kept
redis.call('SREM', KEYS[5], '')
redis.call('XTRIM', KEYS[3], 'MINID', whole(now() - tonumber(ARGV[3])))
local bundle = redis.call('GET', KEYS[1])
if not bundle or bundle == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  bundle = ARGV[1]
end
local age = 0
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
if #oldest > 0 then age = now() - tonumber(string.match(oldest[1][1], '^%d+')) end
return {bundle, redis.call('XLEN', KEYS[2]), whole(age), redis.call('XLEN', KEYS[3]), whole(now()),
  redis.call('GET', KEYS[4])}
"""
)
"""The state of the queue, as a service looks at it; like `BEAT` it keeps the queue its bundle's. Dead letters
whose time is over go; where no service looks, they go together."""
