"""Connections to Redis: bounded in number and in patience, and never retried behind one's back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from service.queue.errors import MissingGroupError, QueueUnavailableError, RedisUrlError

MAX_CONNECTIONS = 32


def connect(url: str, timeout_s: float, connections: int = MAX_CONNECTIONS) -> Redis:
    """A client; connects when it is first used.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: s for a connection to be free, for it to stand, and for each answer.
        connections: at most.

    Raises:
        RedisUrlError: the URL does not read.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            protocol=2,
            # A command that is repeated after a lost connection may be done twice.
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
    except ValueError:
        raise RedisUrlError(
            "LKA_REID_REDIS_URL is no URL of a Redis; it takes redis://[user:password@]host:port/db"
        ) from None
    return Redis.from_pool(pool)


@contextmanager
def telling() -> Iterator[None]:
    """Turn whatever Redis and its client raise into QueueUnavailableError, or MissingGroupError."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise _told(error) from error


def _told(error: Exception) -> QueueUnavailableError:
    words = str(error)
    if "OOM command" in words or "command not allowed when used memory" in words:
        return QueueUnavailableError("Redis is full and takes no more images")
    if "NOGROUP" in words:
        return MissingGroupError("Redis has lost the queue; it is made anew")
    # Not the words: an address stands in them.
    return QueueUnavailableError(f"Redis does not answer ({type(error).__name__})")
