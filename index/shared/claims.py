"""Who may enroll an image id at this moment: one of all replicas.

A claim is no lock on the gallery: it keeps two replicas from enrolling one id between the look whether it is
there and the writing of it. It ends by itself where its replica does not come back.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from index.errors import DuplicateImageError
from index.shared.store import SharedStore

CLAIMED_S: Final = 60.0
"""s that a claim lasts; writing what it is for has to be given up before."""

CLAIM: Final = """
-- KEYS of the ids; ARGV the claim's name, ms it lasts
for place, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then return place end
end
for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
return 0
"""

RELEASE: Final = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 1
"""

EXTEND: Final = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) ~= ARGV[1] then return 0 end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
return 1
"""


class Claims:
    """Claims on the image ids of one collection.

    Args:
        store: where they are.
        collection: the token of the collection.
        claimed_s: s that one lasts.
    """

    def __init__(self, store: SharedStore, collection: str, claimed_s: float = CLAIMED_S) -> None:
        self._store = store
        self._collection = collection
        self._claimed_ms = int(1000 * claimed_s)

    @contextmanager
    def claimed(self, image_ids: Sequence[str]) -> Iterator[Claim]:
        """Hold all of these ids meanwhile.

        Raises:
            DuplicateImageError: another one holds one of them, and is about to enroll it.
            SharedStoreError: the store does not answer.
        """
        # By hash: the store's log holds what was claimed, and an id can be forgotten.
        keys = [
            self._store.key("collection", self._collection, "claim", hashlib.sha256(one.encode()).hexdigest())
            for one in image_ids
        ]
        claim = Claim(self._store, keys, secrets.token_hex(8), self._claimed_ms)
        taken = int(self._store.run(CLAIM, keys, claim.name, self._claimed_ms)) if keys else 0
        if taken:
            raise DuplicateImageError(image_ids[taken - 1])
        try:
            yield claim
        finally:
            if keys:
                self._store.run(RELEASE, keys, claim.name)


class Claim:
    """Ids that are held."""

    def __init__(self, store: SharedStore, keys: list[str], name: str, claimed_ms: int) -> None:
        self.name = name
        self._store = store
        self._keys = keys
        self._claimed_ms = claimed_ms

    def extend(self) -> bool:
        """Hold them for the whole time again; False where they are lost, and nothing may be written.

        Raises:
            SharedStoreError: the store does not answer.
        """
        return not self._keys or bool(self._store.run(EXTEND, self._keys, self.name, self._claimed_ms))
