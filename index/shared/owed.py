"""Images that no watch has looked at yet, of all replicas, and which of these looks at each now.

An enrollment's number is written down before its row, and gets its place in the order of acknowledgements
after it. A replica that looks has what it looks at for itself for a while: where it ends meanwhile, another
one looks. Where a replica ends between a row and its place, whoever looks next finds the row and gives the
place; where there is no row and cannot come one any more, the number is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from index.shared.watchscripts import PIECE, WatchScripts

LOOKED_AT_S: Final = 30.0
"""s that a replica has images for itself which it compares."""
SETTLED_S: Final = 60.0
"""s after which a number without a place is looked up, and again where it has no row yet."""

OWE: Final = """
-- ARGV us until it is looked up, numbers
local time = now()
for place = 2, #ARGV do
  redis.call('ZADD', key('owed'), text(time + tonumber(ARGV[1])), ARGV[place])
  redis.call('HSET', key('since'), ARGV[place], text(time))
end
return 1
"""

ACKNOWLEDGE: Final = """
-- ARGV numbers
if redis.call('HLEN', key('watches')) == 0 then
  for _, record in ipairs(ARGV) do settled(record) end
  return 0
end
local time = text(now())
for _, record in ipairs(ARGV) do
  if not redis.call('ZSCORE', key('order'), record) then
    redis.call('ZADD', key('order'), redis.call('INCR', key('place')), record)
    redis.call('ZADD', key('owed'), time, record)
    redis.call('HSETNX', key('since'), record, time)
  end
end
return #ARGV
"""

TAKE: Final = """
-- ARGV most, us that they are taken for
local time, found = now(), {}
local due = redis.call('ZRANGEBYSCORE', key('owed'), '-inf', text(time), 'LIMIT', 0, ARGV[1])
local is_watched = redis.call('HLEN', key('watches')) > 0
for _, record in ipairs(due) do
  if is_watched then
    redis.call('ZADD', key('owed'), text(time + tonumber(ARGV[2])), record)
    local since = redis.call('HGET', key('since'), record) or text(time)
    table.insert(found, {
      record, redis.call('ZSCORE', key('order'), record) or '', text(time - tonumber(since))
    })
  else
    settled(record)
  end
end
return found
"""

SETTLE: Final = """
-- ARGV numbers
for _, record in ipairs(ARGV) do settled(record) end
return 1
"""

DEFER: Final = """
-- ARGV us until they are looked up, numbers
local time = now()
for place = 2, #ARGV do
  redis.call('ZADD', key('owed'), 'XX', text(time + tonumber(ARGV[1])), ARGV[place])
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """An image that this replica looks at now.

    Attributes:
        number: of its enrollment.
        place: in the order of acknowledgements; None where nobody has given it one.
        age_s: s since its enrollment was about to be written.
    """

    number: int
    place: int | None
    age_s: float


class Owed:
    """See the module.

    Args:
        scripts: of the collection's watches.
    """

    def __init__(self, scripts: WatchScripts) -> None:
        self._scripts = scripts

    def owe(self, numbers: Sequence[int]) -> None:
        """Rows of these numbers are about to be written. Raises SharedStoreError: write none."""
        for piece in _pieces(numbers):
            self._scripts.run(OWE, _us(SETTLED_S), *piece)

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """They are written: watches of before look at them."""
        for piece in _pieces(numbers):
            self._scripts.run(ACKNOWLEDGE, *piece)

    def take(self, most: int) -> list[Taken]:
        """What is to be looked at, for this replica alone for a while; nothing where there are no watches."""
        rows = self._scripts.run(TAKE, most, _us(LOOKED_AT_S))
        with self._scripts.store.understood("what watches are to look at"):
            return [Taken(int(row[0]), int(row[1]) if row[1] else None, int(row[2]) / 1e6) for row in rows]

    def settle(self, numbers: Sequence[int]) -> None:
        """They are looked at, or gone."""
        for piece in _pieces(numbers):
            self._scripts.run(SETTLE, *piece)

    def defer(self, numbers: Sequence[int]) -> None:
        """They have no row yet; look again later."""
        for piece in _pieces(numbers):
            self._scripts.run(DEFER, _us(SETTLED_S), *piece)

    def oldest(self, most: int) -> list[int]:
        """Numbers that have a place and are not looked at, the first ones."""
        with self._scripts.store.client() as client:
            found = client.zrange(self._scripts.key("order"), 0, most - 1)
        with self._scripts.store.understood("what watches are to look at"):
            return [int(number) for number in found]


def _pieces(numbers: Sequence[int]) -> list[Sequence[int]]:
    return [numbers[first : first + PIECE] for first in range(0, len(numbers), PIECE)]


def _us(seconds: float) -> int:
    return int(seconds * 1e6)
