"""The Redis that replicas share: its client, what it has to keep, and what happens where it does not answer.

It must keep what it has acknowledged. With `appendonly yes` and `appendfsync always` it does, also through a
power cut. With `everysec` a power cut takes the last second; with anything less, or where it evicts keys, it
forgets verdicts, keys and quotas, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from redis import BlockingConnectionPool, Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.retry import Retry

from index.errors import GalleryError
from index.shared.pool import check_options, pool_options
from index.shared.rewriting import Rewriting

CONNECTIONS: Final = 32
SCANNED: Final = 500
"""Keys that one step of a sweep looks at."""
SETTING: Final = "LKA_REID_SHARED_URL"


DAMAGED: Final = ("WRONGTYPE", "not an integer", "equal or smaller than")
"""What Redis answers of a value that is of another kind than what was written."""
RESTORE: Final = "restore it from a backup"


class SharedStoreError(GalleryError):
    """The shared store does not answer, or is not one that keeps things; the message says which."""


class SharedStore:
    """A Redis, and the names of our keys in it. Connects when it is first used; for any number of threads.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        name: before every key; services of two names in one Redis know nothing of each other.
        timeout_s: for a connection, and for each answer.
        password: where the URL has none.

    Attributes:
        rewriting: is to hear of every deletion whose trace must leave the store's file.

    Raises:
        SharedStoreError: the URL does not read.
    """

    def __init__(
        self, url: str, name: str = "lka-reid", timeout_s: float = 1.0, password: str | None = None
    ) -> None:
        self._name = name
        try:
            pool = BlockingConnectionPool.from_url(
                url, **pool_options(CONNECTIONS, timeout_s, password, Retry)
            )
            check_options(pool)
        except ValueError:
            raise SharedStoreError(
                f"{SETTING} is no URL of a Redis; it takes redis://[user:password@]host:port/db, "
                "and only options that Redis' client knows"
            ) from None
        # Untyped: its types know no answer's shape.
        self._client: Any = Redis.from_pool(pool)
        self.rewriting = Rewriting(self.rewrite)

    def key(self, *parts: str) -> str:
        """A key's name; the braces keep all of them on one node of a Redis cluster."""
        return ":".join((f"{{{self._name}}}", "shared", *parts))

    @contextmanager
    def client(self) -> Iterator[Any]:
        """The client, for some commands.

        Raises:
            SharedStoreError: for whatever Redis and its client raise.
        """
        try:
            yield self._client
        except (RedisError, OSError) as error:
            raise SharedStoreError(_words(error)) from error

    @contextmanager
    def understood(self, what: str) -> Iterator[None]:
        """Read what the store gave.

        Args:
            what: it is, for people.

        Raises:
            SharedStoreError: for whatever is raised where it is not as it was written.
        """
        try:
            yield
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise SharedStoreError(f"{what} in the shared store is damaged; {RESTORE}") from None

    def run(self, script: str, keys: list[str], *values: Any) -> Any:
        """What a Lua script answers, which changes all or nothing. Raises SharedStoreError."""
        with self.client() as client:
            return client.register_script(script)(keys=keys, args=list(values))

    def fault(self) -> str | None:
        """What is wrong with it at this moment; None where it answers."""
        try:
            with self.client() as client:
                client.ping()
        except SharedStoreError as error:
            return str(error)
        return None

    def check(self) -> list[str]:
        """See that it keeps what it takes; warnings, none where nothing acknowledged can be lost.

        Raises:
            SharedStoreError: it does not answer, or forgets what it took; the message names Redis' setting.
        """
        with self.client() as client:
            persistence = client.info("persistence")
            found: dict[str, str] = {}
            # One by one: before version 7, Redis takes one name. A managed one may show none.
            with suppress(ResponseError):
                for name in ("appendfsync", "maxmemory-policy", "maxmemory"):
                    found |= client.config_get(name)
        if not persistence.get("aof_enabled"):
            raise SharedStoreError(
                f"the Redis of {SETTING} forgets everything when it ends: its appendonly is no; start it "
                "with `appendonly yes` and `appendfsync always`"
            )
        if persistence.get("aof_last_write_status", "ok") != "ok":
            raise SharedStoreError(
                f"the Redis of {SETTING} cannot write its append-only file; see its log and its disk"
            )
        policy, sync = found.get("maxmemory-policy", "noeviction"), found.get("appendfsync")
        if policy != "noeviction" and found.get("maxmemory") not in (None, "0", 0):
            raise SharedStoreError(
                f"the Redis of {SETTING} drops keys when it is full: its maxmemory-policy is {policy}; "
                "start it with `maxmemory-policy noeviction`"
            )
        if sync == "no":
            raise SharedStoreError(
                f"the Redis of {SETTING} leaves it to the system when it writes: its appendfsync is no; "
                "start it with `appendfsync always`"
            )
        if sync is None:
            return [f"the Redis of {SETTING} does not show its appendfsync; see that it is `always`"]
        if sync != "always":
            return [
                f"the Redis of {SETTING} writes to its disk once a second (appendfsync {sync}): a power cut "
                "takes what was acknowledged in the last one; `appendfsync always` keeps it"
            ]
        return []

    def rewrite(self) -> None:
        """Have the append-only file written anew, in the background, without what was deleted.

        Raises:
            SharedStoreError: it does not answer.
        """
        with self.client() as client:
            try:
                client.bgrewriteaof()
            except ResponseError as error:
                if "already in progress" not in str(error):
                    raise

    def remove(self, *parts: str) -> None:
        """Delete every key whose name begins with these parts. Raises SharedStoreError."""
        pattern = _literal(self.key(*parts, ""))
        with self.client() as client:
            found = []
            for key in client.scan_iter(match=f"{pattern}*", count=SCANNED):
                found.append(key)
                if len(found) == SCANNED:
                    client.unlink(*found)
                    found.clear()
            if found:
                client.unlink(*found)

    def close(self) -> None:
        """Have the file rewritten where that is due, and close all connections. Idempotent."""
        self.rewriting.close()
        self._client.close()
        self._client.connection_pool.disconnect()


def _literal(text: str) -> str:
    """A text as a pattern of Redis that matches only it."""
    return "".join(f"\\{one}" if one in "*?[]^-\\" else one for one in text)


def _words(error: Exception) -> str:
    words = str(error)
    if isinstance(error, AuthenticationError) or words.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
        return f"the shared store does not take the password, or does not let it do this; see {SETTING}"
    if "OOM command" in words or "command not allowed when used memory" in words:
        return "the shared store is full and takes nothing more; raise its maxmemory"
    if words.startswith("MISCONF"):
        return "the shared store cannot write to its disk and takes nothing; see its log"
    if isinstance(error, ResponseError) and any(sign in words for sign in DAMAGED):
        return f"the shared store holds something else than it was given; {RESTORE}"
    # Not the words: an address stands in them.
    return (
        f"the shared store does not answer ({type(error).__name__}); see that the Redis of {SETTING} runs "
        "and that its address is right"
    )
