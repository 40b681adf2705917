"""What watches, alerts and what is owed to them are in Redis: names of keys, and what scripts begin with.

All of a collection is below one key's name, which scripts are given; the braces of a store's names keep all
of it on one node. `owed`: of an enrollment's number, the moment in us from which some replica may look at it;
`since`: when it was written down; `order`: its place in the order of acknowledgements, once it has one.
"""

from __future__ import annotations

from typing import Any, Final

from index.shared.store import SharedStore

PIECE: Final = 1000
"""Values of one script."""
PRELUDE: Final = """
local function key(name) return KEYS[1] .. name end
local function text(number) return string.format('%.0f', number) end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function settled(record)
  redis.call('ZREM', key('owed'), record)
  redis.call('HDEL', key('since'), record)
  redis.call('ZREM', key('order'), record)
end
local function forget_alert(id)
  local data = redis.call('HGET', key('data'), id)
  if not data then return end
  local watch, record = string.match(data, '^(%S+) (%S+)')
  for _, name in ipairs({'alerts', 'dead', 'of:' .. watch, 'waiting:' .. watch, 'dead:' .. watch}) do
    redis.call('ZREM', key(name), id)
  end
  for _, name in ipairs({'data', 'delivery', 'leases'}) do redis.call('HDEL', key(name), id) end
  redis.call('HDEL', key('pairs'), watch .. ':' .. record)
  redis.call('ZREM', key('by-record'), record .. ':' .. watch)
end
local function shown_alert(id)
  local data = redis.call('HGET', key('data'), id)
  local watch = data and redis.call('HGET', key('watches'), string.match(data, '^(%S+)'))
  if not watch then return nil end
  return {id, data, redis.call('HGET', key('delivery'), id) or '', watch}
end
local function alert_state(id)
  local delivery = redis.call('HGET', key('delivery'), id)
  if not delivery then return nil end
  local state, attempts, due, problem = string.match(delivery, '^(%S+) (%S+) (%S+) (.*)$')
  return {
    state = state, attempts = tonumber(attempts), due = due, problem = problem,
    watch = string.match(redis.call('HGET', key('data'), id), '^(%S+)'),
  }
end
local function set_state(id, it)
  local due = it.due or '-'
  local value = it.state .. ' ' .. it.attempts .. ' ' .. due .. ' ' .. it.problem
  redis.call('HSET', key('delivery'), id, value)
  redis.call('HDEL', key('leases'), id)
  if it.state == 'waiting' then redis.call('ZADD', key('waiting:' .. it.watch), due, id)
  else redis.call('ZREM', key('waiting:' .. it.watch), id) end
  for _, name in ipairs({'dead', 'dead:' .. it.watch}) do
    if it.state == 'dead' then redis.call('ZADD', key(name), id, id)
    else redis.call('ZREM', key(name), id) end
  end
end
"""


class WatchScripts:
    """Runs scripts on what a collection's watches have in the store.

    Args:
        store: where it is.
        collection: the token of the collection.
    """

    def __init__(self, store: SharedStore, collection: str) -> None:
        self.store = store
        self._base = store.key("collection", collection, "watch", "")

    def run(self, script: str, *values: Any) -> Any:
        """What a script answers, which changes all or nothing. Raises SharedStoreError."""
        return self.store.run(PRELUDE + script, [self._base], *values)

    def key(self, name: str) -> str:
        """A key's whole name."""
        return self._base + name
