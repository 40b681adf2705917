"""The collections of a shared store: a name stands for a token, and the token for all that it has.

The order is the protocol. A token is written down as unfinished, everything of the new collection is made
under it, and then the name is given to it in one step, which is what creates the collection. Dropping takes
the name away in one step, which is what drops it, and writes the token down; then all under it goes. One that
is dropped and made again has another token, so that no replica takes the one for the other. What a replica
that was killed left under such tokens, the next start of any replica removes.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from index.collections import DEFAULT, MOST, NAME, NAME_RULE
from index.errors import (
    DuplicateCollectionError,
    FixedCollectionError,
    GalleryClosedError,
    InvalidCollectionError,
    TooManyCollectionsError,
    UnknownCollectionError,
)
from index.gallery import Gallery
from index.quota import Quota, check_quota
from index.shared.quotas import SharedQuotas
from index.shared.store import SharedStore, SharedStoreError

OPENED_AT_ONCE: Final = 8
"""Collections that a start opens at the same time: each takes seconds on Milvus."""
UNFINISHED_S: Final = 600.0
"""s after which a token that nobody finished is a killed replica's."""

CREATE: Final = """
-- KEYS names, unfinished; ARGV name, token, most
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 'known' end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'many' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
return 'created'
"""

DROP: Final = """
-- KEYS names, unfinished; ARGV name, s
local token = redis.call('HGET', KEYS[1], ARGV[1])
if not token then return false end
redis.call('HSET', KEYS[2], token, ARGV[2])
redis.call('HDEL', KEYS[1], ARGV[1])
return token
"""

log = logging.getLogger(__name__)


class SharedCollections:
    """See `index.collections.Collections`: those that any replica makes are there for all.

    Args:
        store: where their names are.
        default: the gallery of the default collection.
        open_gallery: opens the gallery of a token, which is made if absent.
        remove: removes what a token has outside the store; it may be gone already.

    Raises:
        SharedStoreError: the store does not answer.
    """

    def __init__(
        self,
        store: SharedStore,
        default: Gallery,
        open_gallery: Callable[[str], Gallery],
        remove: Callable[[str], None],
    ) -> None:
        self._store = store
        self._default = default
        self._open_gallery = open_gallery
        self._remove = remove
        self._names, self._unfinished = store.key("collections"), store.key("unfinished")
        self._lock = threading.Lock()
        self._open: dict[str, Gallery] = {}
        self._opening: dict[str, threading.Lock] = {}
        self._closed = False
        self._sweep()
        try:
            with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
                list(pool.map(self._found, self._tokens().items()))
        except BaseException:
            self.close()
            raise

    def names(self) -> list[str]:
        """Of all, in order; the default one first. Raises SharedStoreError."""
        return [DEFAULT, *sorted(self._tokens())]

    def items(self) -> list[tuple[str, Gallery]]:
        """All, by name, in order; one that is dropped meanwhile is closed. Raises SharedStoreError."""
        tokens = self._tokens()
        self._let_go(set(tokens.values()))
        galleries = {name: self._found((name, token)) for name, token in tokens.items()}
        named = [(name, gallery) for name, gallery in sorted(galleries.items()) if gallery is not None]
        return [(DEFAULT, self._default), *((name, gallery) for name, gallery in named)]

    def get(self, name: str) -> Gallery:
        """The gallery of a collection. Raises UnknownCollectionError and SharedStoreError."""
        if name == DEFAULT:
            return self._default
        with self._store.client() as client:
            token = client.hget(self._names, name)
        if token is None:
            raise UnknownCollectionError(name)
        gallery = self._found((name, token.decode()))
        if gallery is None:
            raise UnknownCollectionError(name)
        return gallery

    def create(self, name: str, quota: Quota) -> Gallery:
        """Make an empty collection; see `Collections.create`. Raises SharedStoreError, too."""
        if not NAME.fullmatch(name):
            raise InvalidCollectionError(name, NAME_RULE)
        check_quota(quota)
        known = self._tokens()
        if name == DEFAULT or name in known:
            raise DuplicateCollectionError(name)
        if len(known) >= MOST:
            raise TooManyCollectionsError(MOST)
        token = secrets.token_hex(8)
        with self._store.client() as client:
            client.hset(self._unfinished, token, int(time.time()))
        try:
            gallery = self._of(token)
            SharedQuotas(self._store, token).set(quota)
            outcome = self._store.run(CREATE, [self._names, self._unfinished], name, token, MOST)
        except BaseException:
            self._finish(token)
            raise
        if outcome == b"created":
            return gallery
        self._finish(token)
        raise DuplicateCollectionError(name) if outcome == b"known" else TooManyCollectionsError(MOST)

    def drop(self, name: str) -> None:
        """Remove a collection and all that is in it; see `Collections.drop`. Raises SharedStoreError, too."""
        if name == DEFAULT:
            raise FixedCollectionError(name)
        token = self._store.run(DROP, [self._names, self._unfinished], name, int(time.time()))
        if token is None:
            raise UnknownCollectionError(name)
        self._finish(token.decode())

    def close(self) -> None:
        """Close all but the default one. Idempotent."""
        with self._lock:
            self._closed = True
            galleries, self._open = self._open, {}
        for gallery in galleries.values():
            gallery.close()

    def _tokens(self) -> dict[str, str]:
        with self._store.client() as client:
            found = client.hgetall(self._names)
        with self._store.understood("the list of collections"):
            return {name.decode(): token.decode() for name, token in found.items()}

    def _found(self, named: tuple[str, str]) -> Gallery | None:
        """The gallery of a name and its token; None where it was dropped while it was opened here."""
        name, token = named
        is_open = token in self._open
        gallery = self._of(token)
        if not is_open and self._tokens().get(name) != token:
            # Opening it may have made it anew, after the replica that dropped it had removed all.
            self._finish(token)
            return None
        return gallery

    def _of(self, token: str) -> Gallery:
        """The gallery of a token; others are given meanwhile, and no token is opened twice."""
        with self._lock:
            if self._closed:
                raise GalleryClosedError
            opening = self._opening.setdefault(token, threading.Lock())
        with opening:
            gallery = self._open.get(token)
            if gallery is None:
                gallery = self._open_gallery(token)
                with self._lock:
                    if not self._closed:
                        self._open[token] = gallery
                if self._closed:
                    gallery.close()
                    raise GalleryClosedError
            return gallery

    def _let_go(self, tokens: set[str]) -> None:
        """Close the galleries of those that another replica has dropped."""
        with self._store.client() as client:
            unfinished = {token.decode() for token in client.hkeys(self._unfinished)}
        with self._lock:
            gone = self._open.keys() - tokens - unfinished
            galleries = [self._open.pop(token) for token in gone]
        for gallery in galleries:
            gallery.close()

    def _finish(self, token: str) -> None:
        """Remove all that is a token's; where that fails, a later start does."""
        with self._lock:
            gallery = self._open.pop(token, None)
            self._opening.pop(token, None)
        if gallery is not None:
            gallery.close()
        try:
            self._remove(token)
            self._store.remove("collection", token)
            with self._store.client() as client:
                client.hdel(self._unfinished, token)
            self._store.rewriting.wanted()
        except (OSError, SharedStoreError):
            log.exception("what a dropped collection had cannot be removed; a later start tries again")

    def _sweep(self) -> None:
        with self._store.client() as client:
            found = client.hgetall(self._unfinished)
        for token, since in found.items():
            with self._store.understood("the list of unfinished collections"):
                is_left = time.time() - int(since) > UNFINISHED_S
            if is_left:
                log.info("removing what a replica that ended has left of a collection")
                self._finish(token.decode())
