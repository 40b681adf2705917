"""Keys and audit log in the store that replicas share: alike for all, chained once, nothing on a disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from index.shared import SharedQuotas, SharedSettings, SharedStore, SharedStoreError
from service.access.audit import AuditError, AuditLog
from service.access.auditchain import CHAIN, Chain
from service.access.auditfind import find_in
from service.access.auditverify import verify_lines
from service.access.homes import keys_in, open_store
from service.access.idhash import IdKeyError
from service.access.key import KeyScope, new_key
from service.access.keyfile import KeyFile, KeyFileError, UnknownKeyError
from service.access.keyhome import KeyHome
from service.access.keyring import Keyring
from service.access.sharedaudit import SharedAudit, SharedIdHasher
from service.access.sharedkeys import STALE_S, SharedKeys
from service.settings import load_settings
from tests.service.access.holders import MADE, showing
from tests.service.command_line import Command, command_runner
from tests.service.fakes import RED, image_file, running
from tests.service.redis_server import DURABLE, RedisServer, redis_server
from tests.service.stores import opened_stores


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), None, **DURABLE) as running_one:
        yield running_one


@pytest.fixture
def connect(server: RedisServer) -> Iterator[Callable[[], SharedStore]]:
    with opened_stores(server) as open_it:
        yield open_it


@pytest.fixture(params=["file", "shared"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> KeyHome:
    if request.param == "file":
        return KeyFile(tmp_path / "keys.json")
    return SharedKeys(request.getfixturevalue("connect")())


def make_key(home: KeyHome, *scopes: str, **changes: Any) -> str:
    secret, key = new_key("gate 3", {KeyScope(scope) for scope in scopes}, MADE, **changes)
    home.add(key)
    return secret


def test_keys_are_kept_in_order_and_a_revoked_one_is_gone_at_once(home: KeyHome) -> None:
    assert home.stamp() is None
    ring = Keyring(home)
    assert not ring.required
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    first = make_key(home, "query", expires=until, collections=["north"])
    second = make_key(home, "admin")
    assert [key.scopes for key in home.read()] == [(KeyScope.QUERY,), (KeyScope.ADMIN,)]
    known = ring.identify(first)
    assert known is not None
    assert (known.expires, known.collections, known.name) == (until, ("north",), "gate 3")
    assert home.revoke(known.id) == known
    assert ring.identify(first) is None
    assert ring.identify(second) is not None
    with pytest.raises(UnknownKeyError):
        home.revoke(known.id)
    home.revoke(home.read()[0].id)
    assert home.read() == ()
    assert Keyring(home).required, "nobody gets in, and not everybody"


def test_no_key_that_replicas_make_at_once_is_lost(connect: Callable[[], SharedStore]) -> None:
    replicas = [SharedKeys(connect()) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: make_key(replicas[at % 2], "query"), range(30)))
    assert len({key.id for key in replicas[0].read()}) == 30


def test_services_of_two_prefixes_know_no_key_of_each_other(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"GALLERY": "milvus", "MILVUS_URL": "http://x:1", "OBJECTS_URL": "/x"}.items():
        monkeypatch.setenv(f"LKA_REID_{name}", value)
    monkeypatch.setenv("LKA_REID_SHARED_URL", server.url)
    server.client.flushall()
    known = {}
    for prefix, name in (("lka_reid", ""), ("lka_reid", "mine"), ("north", ""), ("north", "mine")):
        monkeypatch.setenv("LKA_REID_MILVUS_PREFIX", prefix)
        monkeypatch.delenv("LKA_REID_SHARED_NAME", raising=False)
        if name:
            monkeypatch.setenv("LKA_REID_SHARED_NAME", name)
        settings = load_settings()
        store = open_store(settings)
        assert store is not None
        with closing(store):
            keys = keys_in(settings, store)
            known[prefix, name] = len(keys.read())
            make_key(keys, "query")
    # What is named "mine" is one.
    assert list(known.values()) == [0, 0, 0, 1]
    with closing(SharedStore(server.url)) as of_before:
        assert len(SharedKeys(of_before).read()) == 1, "the default prefix has what it had"


def test_the_store_holds_hashes_of_keys_and_no_key(
    connect: Callable[[], SharedStore], server: RedisServer
) -> None:
    secret = make_key(SharedKeys(connect()), "query")
    held = b"".join(server.client.dump(key) for key in server.client.keys("*"))
    assert secret.encode() not in held
    assert secret.split("_", 2)[2].encode() not in held


DAMAGES: dict[str, tuple[Callable[[Any, str], Any], Callable[[SharedStore], Any]]] = {
    "a key": (
        lambda redis, name: redis.hset(f"{name}:keys:known", redis.hkeys(f"{name}:keys:known")[0], b"\xff"),
        lambda store: SharedKeys(store).read(),
    ),
    "a key that is missing": (
        lambda redis, name: redis.delete(f"{name}:keys:known"),
        lambda store: SharedKeys(store).read(),
    ),
    "a key that is revoked": (
        lambda redis, name: redis.hset(f"{name}:keys:known", "cafe", "{}"),
        lambda store: SharedKeys(store).revoke("cafe"),
    ),
    "the version of the keys": (
        lambda redis, name: redis.set(f"{name}:keys:version", "x"),
        lambda store: SharedKeys(store).watch(),
    ),
    "keys of another kind": (
        lambda redis, name: redis.rename(f"{name}:keys:version", f"{name}:keys:order"),
        lambda store: SharedKeys(store).read(),
    ),
    "the head of the audit log": (
        lambda redis, name: redis.hset(f"{name}:audit:head", mapping={"number": "x", "hash": b"\xff"}),
        lambda store: SharedAudit(store, 10).head(),
    ),
    "an entry of the audit log": (
        lambda redis, name: redis.xadd(f"{name}:audit:entries", {"x": "y"}),
        lambda store: list(SharedAudit(store, 10).lines()),
    ),
    "the key of the audit log": (
        lambda redis, name: redis.lpush(f"{name}:audit:key", "x"),
        lambda store: SharedIdHasher(store).load(),
    ),
    "a quota": (
        lambda redis, name: redis.hset(f"{name}:collection:c:quota:set", "images", "many"),
        lambda store: SharedQuotas(store, "c").quota(),
    ),
    "a setting": (
        lambda redis, name: redis.hset(f"{name}:collection:c:settings", "days", "many"),
        lambda store: SharedSettings(store, "c").get("days"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_in_the_store_is_an_error_that_says_so(
    connect: Callable[[], SharedStore], server: RedisServer, damage: str
) -> None:
    store = connect()
    make_key(SharedKeys(store), "query")
    harm, read = DAMAGES[damage]
    harm(server.client, store.key("x").removesuffix(":x"))
    with pytest.raises(
        (KeyFileError, SharedStoreError, IdKeyError), match=r"(damaged|something else).* restore"
    ):
        read(store)
    assert len(server.client.keys("*")) >= 2, "nothing is removed"


def test_a_watched_home_lets_nobody_in_once_the_store_has_been_silent(tmp_path: Path) -> None:
    now = 100.0
    with redis_server(tmp_path, None, **DURABLE) as own:
        store = SharedStore(own.url)
        keys = SharedKeys(store, clock=lambda: now)
        secret = make_key(keys, "query")
        keys.watch()
        try:
            ring = Keyring(keys)
            assert ring.identify(secret) is not None
            own.kill()
            now += STALE_S - 0.1
            assert ring.identify(secret) is not None, "a store that starts anew holds up nobody"
            now += 0.2
            with pytest.raises(KeyFileError, match="the shared store does not answer"):
                ring.identify(secret)
        finally:
            keys.close()
            store.close()


def open_log(store: SharedStore, kept: int = 1000) -> AuditLog:
    ids = SharedIdHasher(store)
    return AuditLog(SharedAudit(store, kept, ids.chain_key), ids)


def chain_of(store: SharedStore) -> Chain:
    return Chain(SharedIdHasher(store).subkey(CHAIN))


def test_replicas_write_one_chain_and_lose_no_entry(connect: Callable[[], SharedStore]) -> None:
    logs = [open_log(connect()) for _ in range(3)]
    for log in logs:
        log.prepare()

    def write(at: int) -> None:
        logs[at % 3].write({"action": "enroll", "image_id": f"image {at}"})

    # Each replica writes one entry after the other, as its guard sees to.
    def write_each(replica: int) -> None:
        for at in range(replica, 60, 3):
            write(at)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write_each, range(3)))
    store = connect()
    found = verify_lines(SharedAudit(store, 1000), chain_of(store))
    assert (found.entries, found.first, found.fault) == (60, 1, None)
    lines = [line.decode() for _, line in SharedAudit(store, 1000).lines()]
    named = find_in(lines, SharedIdHasher(store), "image 7")
    assert [json.loads(line)["action"] for line in named.lines] == ["enroll"]
    assert not any("image 7" in line for line in lines)


@pytest.mark.parametrize("harm", ["changed", "removed", "cut off"])
def test_an_entry_that_was_tampered_with_is_named(
    connect: Callable[[], SharedStore], server: RedisServer, harm: str
) -> None:
    log = open_log(store := connect())
    for number in range(5):
        log.write({"action": f"action {number}"})
    entries = store.key("audit", "entries")
    if harm == "changed":
        line = server.client.xrange(entries, "5-0", "5-0")[0][1][b"line"]
        server.client.xdel(entries, "5-0")
        server.client.xadd(entries, {"line": line.replace(b"action 4", b"action 5")}, id="5-1")
    else:
        server.client.xdel(entries, "3-0" if harm == "removed" else "5-0")
    fault = verify_lines(SharedAudit(store, 1000), chain_of(store)).fault
    assert fault is not None
    expected = {
        "changed": "not what was written",
        "removed": "entry 3 is missing",
        "cut off": "entry 5 is missing",
    }
    assert expected[harm] in fault


def test_the_oldest_entries_go_and_the_rest_is_whole(connect: Callable[[], SharedStore]) -> None:
    log = open_log(store := connect(), kept=10)
    for number in range(25):
        log.write({"action": f"action {number}"})
    found = verify_lines(SharedAudit(store, 10), chain_of(store))
    assert (found.entries, found.first, found.fault) == (10, 16, None)


def test_an_entry_that_could_not_be_written_is_kept_and_nothing_is_begun_until_it_is(tmp_path: Path) -> None:
    with redis_server(tmp_path, None, **DURABLE) as own:
        store = SharedStore(own.url)
        log = open_log(store)
        log.prepare()
        own.kill()
        with pytest.raises(AuditError, match="in the shared store cannot be written: the shared store"):
            log.write({"action": "delete"})
        with pytest.raises(AuditError):
            log.check()
        own.start()
        log.check()
        [(_, line)] = SharedAudit(store, 10).lines()
        assert json.loads(line)["action"] == "delete"
        store.close()


@pytest.mark.slow
def test_two_services_share_keys_and_one_audit_log_and_keep_neither_on_disk(
    tmp_path: Path, connect: Callable[[], SharedStore], server: RedisServer
) -> None:
    keys = SharedKeys(connect())
    admin = make_key(keys, "admin")
    url = SecretStr(server.url)
    with (
        running(tmp_path / "a", shared_url=url) as one,
        running(tmp_path / "b", shared_url=url) as other,
    ):
        files = {"image": ("x", image_file(RED))}
        for service in (one, other):
            assert service.client.get("/gallery").status_code == 401
            sent = service.client.post(
                "/gallery", files=files, data={"image_id": "a"}, headers=showing(admin)
            )
            assert sent.status_code == 201
        written = [json.loads(line) for _, line in SharedAudit(connect(), 1000).lines()]
    assert [(line["action"], line["status"]) for line in written] == [("enroll", 201)] * 2
    assert [line["entry"] for line in written] == list(range(1, len(written) + 1))
    for folder in ("a", "b"):
        left = {path.name for path in (tmp_path / folder).iterdir()}
        assert not left & {"keys.json", "audit.jsonl", "audit.key"}, left


def test_a_service_does_nothing_that_cannot_be_written_down(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path, None, **DURABLE) as own,
        running(tmp_path / "a", shared_url=SecretStr(own.url)) as service,
    ):
        own.kill()
        refused = service.client.get("/gallery")
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        own.start()
        assert service.client.get("/gallery").status_code == 200


def test_a_service_is_not_started_on_a_redis_that_forgets(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path) as own,
        pytest.raises(SharedStoreError, match="appendonly is no"),
        running(tmp_path / "a", shared_url=SecretStr(own.url)),
    ):
        pass


def test_the_commands_change_and_read_what_is_in_the_store(
    connect: Callable[[], SharedStore],
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("LKA_REID_SHARED_URL", server.url)
    monkeypatch.chdir(tmp_path)
    command: Command = command_runner(monkeypatch, capsys)
    made = command("keys", "create", "--scope", "query", "--name", "gate")
    assert (made.code, "is in the shared store" in made.err) == (0, True)
    [key] = SharedKeys(connect()).read()
    assert key.id in command("keys", "list").out
    assert command("keys", "revoke", key.id).code == 0
    assert SharedKeys(connect()).read() == ()
    verified = command("audit", "verify")
    assert (verified.code, "2 entries are as written" in verified.out) == (0, True)
    assert command("audit", "find", "nobody").code == 0
    assert list(tmp_path.iterdir()) == []
    server.client.delete(connect().key("audit", "entries"))
    broken = command("audit", "verify")
    assert (broken.code, "entries 1 to 2 are missing" in broken.err) == (1, True)
