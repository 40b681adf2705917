"""How a Redis is connected to: bounded in number and in time; a failed command is not repeated."""

from __future__ import annotations

from typing import Any

from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig


def check_options(pool: Any) -> None:
    """Raises ValueError for an option in the URL of a pool that no connection has; nothing is connected."""
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError:
        raise ValueError("an option of the URL is unknown") from None


def pool_options(
    connections: int, timeout_s: float, password: str | None, retry: type[Any]
) -> dict[str, Any]:
    """What `BlockingConnectionPool.from_url` takes besides the URL, synchronous or not.

    Args:
        connections: at most.
        timeout_s: s for a connection to be free, for it to stand, and for each answer.
        password: where the URL has none.
        retry: the class of retries that fits the pool.
    """
    return {
        "password": password,
        "max_connections": connections,
        "timeout": timeout_s,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,
        # A command that is repeated after a lost connection may be done twice.
        "retry": retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
