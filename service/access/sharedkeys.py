"""The API keys in the store that replicas share: what a replica changes, all see.

A service looks at the store twice a second, in a thread, so that no request waits for it: a key that was
revoked is refused within that time by every replica. Where the store has not answered for `STALE_S`, nobody
gets in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from index.shared import SharedStore, SharedStoreError
from service.access.key import ApiKey
from service.access.keyfile import KeyFileError, UnknownKeyError

LOOK_S: Final = 0.5
STALE_S: Final = 5.0
WHERE: Final = "the shared store"

ADD: Final = """
-- KEYS keys, order, version; ARGV id, key (JSON)
redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1
"""

REVOKE: Final = """
-- KEYS keys, order, version; ARGV id
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then return false end
redis.call('INCR', KEYS[3])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('LREM', KEYS[2], 0, ARGV[1])
return found
"""

READ: Final = """
-- KEYS keys, order
local found = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  table.insert(found, redis.call('HGET', KEYS[1], id))
end
return found
"""


class SharedKeys:
    """The keys in the store; see `service.access.keyhome.KeyHome`.

    Args:
        store: where they are.
        clock: s, monotonic.
    """

    def __init__(self, store: SharedStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._keys = [store.key("keys", part) for part in ("known", "order", "version")]
        self._ending = threading.Event()
        self._watching: threading.Thread | None = None
        self._seen: tuple[int, int, int] | None = None
        self._seen_at = 0.0

    @property
    def where(self) -> str:
        """Where they are, for people."""
        return WHERE

    def watch(self) -> None:
        """Look at the store in a thread from now on, so that `stamp` waits for nothing.

        Raises:
            KeyFileError: the store does not answer now.
        """
        self._look()
        self._watching = threading.Thread(target=self._keep_looking, name="shared-keys", daemon=True)
        self._watching.start()

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._ending.set()
        if self._watching is not None:
            self._watching.join()
            self._watching = None

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes whenever a key does; None while there never was one.

        Raises:
            KeyFileError: the store does not answer, or has not for a while.
        """
        if self._watching is None:
            self._look()
        elif self._clock() - self._seen_at > STALE_S:
            raise KeyFileError(f"{WHERE} does not answer, and so nobody's API key can be looked at")
        return self._seen

    def read(self) -> tuple[ApiKey, ...]:
        """All keys, in the order they were made.

        Raises:
            KeyFileError: they cannot be read.
        """
        try:
            found = self._store.run(READ, self._keys[:2])
        except SharedStoreError as error:
            raise KeyFileError(str(error)) from None
        return tuple(map(_key, found))

    def add(self, key: ApiKey) -> None:
        """Let a key in. Raises KeyFileError."""
        try:
            self._store.run(ADD, self._keys, key.id, key.model_dump_json(exclude_none=True))
        except SharedStoreError as error:
            raise KeyFileError(str(error)) from None

    def revoke(self, key_id: str) -> ApiKey:
        """Take a key out. Raises UnknownKeyError, and KeyFileError for a damaged one, too, which stays."""
        try:
            with self._store.client() as client:
                there = client.hget(self._keys[0], key_id)
            if there is not None:
                _key(there)
            found = self._store.run(REVOKE, self._keys, key_id)
        except SharedStoreError as error:
            raise KeyFileError(str(error)) from None
        if found is None:
            raise UnknownKeyError(key_id)
        return _key(found)

    def _look(self) -> None:
        began = self._clock()
        try:
            with self._store.client() as client:
                version = client.get(self._keys[2])
            with self._store.understood("the version of the API keys"):
                # A store that was emptied under a running service is another one: its keys are read again.
                self._seen = self._seen and (0, 0, 0) if version is None else (1, 0, int(version))
        except SharedStoreError as error:
            raise KeyFileError(str(error)) from None
        self._seen_at = began

    def _keep_looking(self) -> None:
        while not self._ending.wait(LOOK_S):
            try:
                self._look()
            except KeyFileError:
                continue  # `stamp` says so once it has lasted


def _key(found: bytes | None) -> ApiKey:
    try:
        return ApiKey.model_validate_json(found or b"")
    except ValidationError as error:
        raise KeyFileError(
            f"an API key in {WHERE} is damaged ({error.errors()[0]['msg']}); restore the store from a backup"
        ) from None
