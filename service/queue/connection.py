"""Connections to Redis: bounded in number and in time; a failed command is not repeated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.exceptions import AuthenticationError, RedisError

from index.shared.pool import check_options, pool_options
from service.queue.errors import MissingGroupError, QueueUnavailableError, RedisUrlError
from service.settings import Settings

MAX_CONNECTIONS = 32


def connect_as_set(settings: Settings, wait_s: float = 0.0, connections: int = MAX_CONNECTIONS) -> Redis:
    """A client of the Redis that is set; connects when it is first used.

    Args:
        settings: with a `redis_url`.
        wait_s: s that commands of this client wait by themselves.
        connections: at most.

    Raises:
        RedisUrlError: the URL does not read.
        OSError: the file with the password cannot be read.
    """
    assert settings.redis_url is not None  # noqa: S101 - whoever calls this has looked
    url = settings.redis_url.get_secret_value()
    return connect(url, settings.redis_timeout_s + wait_s, connections, settings.redis_password())


def connect(
    url: str, timeout_s: float, connections: int = MAX_CONNECTIONS, password: str | None = None
) -> Redis:
    """A client; connects when it is first used.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: s for a connection to be free, for it to stand, and for each answer.
        connections: at most.
        password: where the URL has none.

    Raises:
        RedisUrlError: the URL does not read.
    """
    try:
        pool = BlockingConnectionPool.from_url(url, **pool_options(connections, timeout_s, password, Retry))
        check_options(pool)
    except ValueError:
        raise RedisUrlError(
            "LKA_REID_REDIS_URL is no URL of a Redis; it takes redis://[user:password@]host:port/db, "
            "and only options that Redis' client knows"
        ) from None
    return Redis.from_pool(pool)


@contextmanager
def failures_named() -> Iterator[None]:
    """Turn whatever Redis and its client raise into QueueUnavailableError, or MissingGroupError."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise _named(error) from error


def _named(error: Exception) -> QueueUnavailableError:
    words = str(error)
    if isinstance(error, AuthenticationError) or words.startswith(("NOAUTH", "WRONGPASS")):
        return QueueUnavailableError(
            "Redis does not take the password; see LKA_REID_REDIS_PASSWORD_FILE and LKA_REID_REDIS_URL"
        )
    if "OOM command" in words or "command not allowed when used memory" in words:
        return QueueUnavailableError("Redis is full and takes no more images")
    if "NOGROUP" in words:
        return MissingGroupError("Redis has lost the queue; it is made anew")
    # Not the words: an address stands in them.
    return QueueUnavailableError(f"Redis does not answer ({type(error).__name__})")
