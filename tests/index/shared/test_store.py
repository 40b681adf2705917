"""The shared store keeps what it took, and is refused by name where it would not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from index import Quota
from index.shared import SharedQuotas, SharedStore, SharedStoreError
from index.shared.rewriting import Rewriting
from tests.index.shared.conftest import wait_until_gone
from tests.service.redis_server import DURABLE, RedisServer, redis_server


@contextmanager
def opened(folder: Path, **options: str) -> Iterator[tuple[RedisServer, SharedStore]]:
    with redis_server(folder, None, **options) as server:
        store = SharedStore(server.url, "test", timeout_s=1)
        try:
            yield server, store
        finally:
            store.close()


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    with opened(tmp_path, **DURABLE) as (server, store):
        assert store.check() == []
        quotas = SharedQuotas(store, "c1")
        quotas.set(Quota(images=7))
        quotas.count(quotas.reserve(2, 5))
        server.kill()
        assert store.fault() == (
            "the shared store does not answer (ConnectionError); see that the Redis of LKA_REID_SHARED_URL "
            "runs and that its address is right"
        )
        with pytest.raises(SharedStoreError, match="does not answer"):
            quotas.quota()
        server.start()
        assert store.fault() is None
        assert (quotas.quota(), quotas.usage().images) == (Quota(images=7), 2)


def test_a_redis_that_forgets_is_refused_by_the_name_of_its_setting(tmp_path: Path) -> None:
    with opened(tmp_path) as (server, store):
        with pytest.raises(SharedStoreError, match="appendonly is no"):
            store.check()
        server.client.config_set("appendonly", "yes")
        server.client.config_set("appendfsync", "no")
        with pytest.raises(SharedStoreError, match="appendfsync is no"):
            store.check()
        server.client.config_set("appendfsync", "everysec")
        [warning] = store.check()
        assert "appendfsync everysec" in warning
        assert "appendfsync always" in warning
        server.client.config_set("appendfsync", "always")
        server.client.config_set("maxmemory", "100mb")
        server.client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(SharedStoreError, match="maxmemory-policy is allkeys-lru"):
            store.check()


@pytest.mark.slow
def test_a_redis_that_stands_still_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    with opened(tmp_path, **DURABLE) as (server, store):
        store.check()
        with server.paused(), pytest.raises(SharedStoreError, match="does not answer"):
            store.check()


def test_a_full_redis_takes_nothing_more_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, **DURABLE) as (server, store):
        quotas = SharedQuotas(store, "c1")
        quotas.count(quotas.reserve(1, 1))
        server.client.config_set("maxmemory", "1")
        with pytest.raises(SharedStoreError, match="full and takes nothing more"):
            quotas.reserve(1, 1)
        assert quotas.usage().images == 1


def test_a_deleted_value_is_in_no_file_after_a_rewrite(tmp_path: Path) -> None:
    with opened(tmp_path, **DURABLE) as (server, store):
        with store.client() as client:
            client.set(store.key("x"), "a word to be forgotten")
            client.delete(store.key("x"))
        assert any(b"to be forgotten" in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
        store.rewrite()
        while server.client.info("persistence")["aof_rewrite_in_progress"]:
            pass
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert files
        assert not any(b"to be forgotten" in file.read_bytes() for file in files)


def forget_a_word(store: SharedStore) -> None:
    with store.client() as client:
        client.set(store.key("x"), "a word to be forgotten")
        client.delete(store.key("x"))


def test_what_was_forgotten_leaves_the_file_by_itself_after_a_while(tmp_path: Path) -> None:
    with opened(tmp_path, **DURABLE) as (_, store):
        forget_a_word(store)
        rewriting = Rewriting(store.rewrite, after_s=0.01)
        for _ in range(3):
            rewriting.wanted()
        wait_until_gone(tmp_path, b"to be forgotten")
        rewriting.close()


def timers() -> set[threading.Thread]:
    """Threads of the kind that a store starts; others come and go by themselves."""
    return {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)}


def test_a_store_that_is_closed_asks_for_what_was_to_be_asked_and_no_thread_stays(tmp_path: Path) -> None:
    with opened(tmp_path, **DURABLE) as (_, store):
        forget_a_word(store)
        before = timers()
        store.rewriting.wanted()
        assert len(timers() - before) == 1
        store.close()
        assert timers() <= before
        wait_until_gone(tmp_path, b"to be forgotten")
        store.rewriting.wanted()
        assert timers() <= before


def test_a_store_that_is_gone_is_asked_once_and_the_log_says_what_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, **DURABLE) as (server, store):
        store.rewriting.wanted()
        server.kill()
        for _ in range(2):
            store.close()
    [said] = [record.getMessage() for record in caplog.records]
    assert "what was deleted is still in the shared store's file: the shared store does not answer" in said


@pytest.mark.parametrize("url", ["http://user:secret@x", "redis://x:secret/0", "redis://x/0?token=secret"])
def test_a_url_that_does_not_read_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SharedStoreError, match="LKA_REID_SHARED_URL") as refused:
        SharedStore(url)
    assert "secret" not in str(refused.value)


def test_only_what_is_of_a_collection_is_removed(store: SharedStore) -> None:
    for collection in ("c1", "c1*", "c12"):
        SharedQuotas(store, collection).set(Quota(images=1))
    store.remove("collection", "c1*")
    assert SharedQuotas(store, "c1*").quota() == Quota()
    store.remove("collection", "c1")
    assert SharedQuotas(store, "c1").quota() == Quota()
    assert SharedQuotas(store, "c12").quota() == Quota(images=1)
