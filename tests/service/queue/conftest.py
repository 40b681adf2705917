"""A Redis for the tests of a module, empty for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as it:
        yield it


@pytest.fixture
def redis(server: RedisServer) -> RedisServer:
    server.client.flushall()
    return server
