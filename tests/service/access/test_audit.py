"""The audit log: who did what, how it ended; rotated; and nothing is done that it cannot hold."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from index import LocalGallery
from service.access.audit import AuditEntry, AuditError, AuditLog
from service.access.auditfile import AuditFile
from service.access.auditfind import find_image
from service.access.idhash import FileIdHasher, IdKeyError
from service.access.key import KeyScope, new_key
from tests.service.access.holders import MADE, guarded, showing
from tests.service.api.test_problems import check
from tests.service.command_line import Command
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, running

LONG = "\U0001f697"
"""A character of four bytes."""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def open_log(path: Path, max_bytes: int) -> AuditLog:
    ids = FileIdHasher(path.parent / "audit.key")
    return AuditLog(AuditFile(path, max_bytes, 2, ids.chain_key), ids)


def test_it_says_who_did_what_and_how_it_ended(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        client, admin = it.service.client, it.headers("admin")
        files = {"image": ("x", image_file(RED))}
        sent = {"X-Request-ID": "r-1"}
        client.post(
            "/gallery", files=files, data={"image_id": "cam/1"}, headers={**it.headers("enroll"), **sent}
        )
        client.post("/gallery", files=files, data={"image_id": "cam/1"}, headers=admin)
        client.post(
            "/gallery", files={"image": ("x", image_file(GREEN))}, data={"image_id": "b"}, headers=admin
        )
        client.post("/query", files=files, headers=it.headers("query"))
        client.get("/gallery/cam/1/image", headers=it.headers("query"))
        client.get("/gallery/cam/1", headers=it.headers("query"))
        client.get("/gallery", headers=admin)
        client.delete("/gallery/b", headers=it.headers("enroll"))
        client.delete("/gallery/b", headers=admin)
        client.delete("/gallery/b", headers=admin)
        client.get("/metrics", headers=admin)
        found = lines(tmp_path / "audit.jsonl")
    recorded = [
        (line["key_name"].split()[1], line["action"], line["status"], line.get("image_hash"))
        for line in found
    ]
    ids = FileIdHasher(tmp_path / "audit.key")
    named = {ids.digest(image_id): image_id for image_id in ("cam/1", "b")}
    assert [(*line[:3], line[3] and named[line[3]]) for line in recorded] == [
        ("enroll", "enroll", 201, "cam/1"),
        ("admin", "enroll", 409, "cam/1"),
        ("admin", "enroll", 201, "b"),
        ("query", "query", 200, None),
        ("query", "image", 200, "cam/1"),
        ("query", "record", 200, "cam/1"),
        ("admin", "list", 200, None),
        ("enroll", "delete", 403, "b"),
        ("admin", "delete", 204, "b"),
        ("admin", "delete", 404, "b"),
    ]
    assert found[0]["request_id"] == "r-1"
    assert found[0]["key_id"] == it.secrets["enroll"].split("_")[1]
    assert found[0]["time"].endswith("Z")
    assert {line["client"] for line in found} == {"127.0.0.1"}
    assert [named[match] for match in found[3]["match_hashes"]] == ["cam/1", "b"]
    text = (tmp_path / "audit.jsonl").read_text()
    assert "cam/1" not in text
    assert not any(secret in text for secret in it.secrets.values())
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_whoever_needs_no_key_is_known_by_address(service: Running, tmp_path: Path) -> None:
    service.enroll(image_id="a")
    [line] = lines(tmp_path / "audit.jsonl")
    assert (line["key_id"], line["key_name"], line["client"]) == (None, "anonymous", "127.0.0.1")


def test_an_unforeseen_failure_is_written_down(service: Running, tmp_path: Path, monkeypatch: Any) -> None:
    def fail(_self: object, _image_id: str) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(LocalGallery, "delete", fail)
    assert service.client.delete("/gallery/a").status_code == 500
    assert [line["status"] for line in lines(tmp_path / "audit.jsonl")] == [500]


def test_strangers_cannot_push_its_history_out(tmp_path: Path) -> None:
    with guarded(tmp_path, rate_per_s=0.001, rate_burst=1) as it:
        for headers in ({}, showing("lka_00000000_" + "x" * 43), {}):
            assert it.service.client.get("/gallery", headers=headers).status_code in (401, 429)
        assert it.service.client.get("/gallery", headers=it.headers("admin")).status_code == 200
        assert it.service.client.get("/gallery", headers=it.headers("admin")).status_code == 429
    assert [line["status"] for line in lines(tmp_path / "audit.jsonl")] == [200]


def test_it_rotates_by_size_and_keeps_so_many_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = open_log(path, 1024)
    for number in range(100):
        log.write({"number": number})
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "audit.jsonl",
        "audit.jsonl.1",
        "audit.jsonl.2",
        "audit.jsonl.head",
        "audit.jsonl.lock",
        "audit.key",
    ]
    files = [tmp_path / "audit.jsonl.2", tmp_path / "audit.jsonl.1", path]
    for file in files:
        assert file.stat().st_size <= 1024
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    numbers = [line["number"] for file in files for line in lines(file)]
    assert numbers == list(range(numbers[0], 100))


def test_a_line_of_another_process_is_not_lost(tmp_path: Path) -> None:
    service, command = (open_log(tmp_path / "audit.jsonl", size) for size in (10_000, 0))
    for number in range(10):
        (service, command)[number % 2].write({"number": number})
    service.close()
    command.close()
    assert [line["number"] for line in lines(tmp_path / "audit.jsonl")] == list(range(10))


def test_after_a_torn_line_the_next_one_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"number": 0}\n{"numb')
    log = open_log(path, 10_000)
    log.write({"number": 1})
    log.close()
    assert json.loads(path.read_text().splitlines()[-1])["number"] == 1


def test_what_cannot_be_written_is_answered_so_and_then_nothing_more_is_done(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    with running(tmp_path) as service:
        first = service.enroll(image_file(RED), image_id="a")
        check(first, 503, "audit-failed")
        assert str(tmp_path) not in first.text
        size = service.gallery.count()
        for _ in range(3):
            check(service.enroll(image_file(BLUE)), 503, "audit-failed")
            check(service.client.delete("/gallery/a"), 503, "audit-failed")
        assert service.gallery.count() == size

        path.unlink()
        assert service.client.delete("/gallery/a").status_code == 204
        recorded = [(line["action"], line["status"]) for line in lines(path)]
    # The first line is there though it came late; each refusal is there as what it was.
    assert recorded[0] == ("enroll", 201)
    assert recorded[-1] == ("delete", 204)
    assert set(recorded[1:-1]) <= {("enroll", 503), ("delete", 503)}


def test_each_image_of_a_batch_that_could_not_be_written_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    files = [("images", ("x", image_file(colour))) for colour in (RED, GREEN, BLUE)]
    with running(tmp_path) as service:
        check(service.client.post("/gallery/batch", files=files), 503, "audit-failed")
        path.unlink()
        assert service.client.get("/gallery").status_code == 200
        recorded = [(line["action"], line["status"]) for line in lines(path)]
    assert recorded == [("enroll-batch", 200), *[("enroll", 201)] * 3, ("list", 200)]


def test_a_log_that_was_taken_away_is_begun_anew(service: Running, tmp_path: Path) -> None:
    service.enroll(image_id="a")
    (tmp_path / "audit.jsonl").rename(tmp_path / "taken")
    service.client.get("/gallery/a")
    assert [line["action"] for line in lines(tmp_path / "taken")] == ["enroll"]
    assert [line["action"] for line in lines(tmp_path / "audit.jsonl")] == ["record"]


def test_a_log_that_cannot_be_opened_keeps_the_service_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.mkdir()
    with running(tmp_path, await_ready=False) as service:
        while service.app.state.lifecycle.failure is None:
            pass
        assert isinstance(service.app.state.lifecycle.failure, AuditError)
        assert service.client.get("/health/ready").status_code == 503


def test_dev_null_is_a_log_for_those_who_want_none(tmp_path: Path) -> None:
    with running(tmp_path, audit_log=Path("/dev/null")) as service:
        assert service.enroll().status_code == 201
    assert not (tmp_path / "audit.jsonl").exists()


def test_an_entry_is_short_however_long_ids_and_names_are(tmp_path: Path) -> None:
    _, key = new_key(LONG * 64, {KeyScope.QUERY}, MADE)
    ids = tuple(LONG * 510 + f"{number:02}" for number in range(50))
    log = open_log(tmp_path / "audit.jsonl", 0)
    log.write(*AuditEntry("explain", "c" * 5000, "r" * 128, key, ids[0], ids).lines(200))
    log.close()
    assert (tmp_path / "audit.jsonl").stat().st_size <= 1200


def test_the_key_for_ids_is_private_and_one_for_all_processes(tmp_path: Path) -> None:
    path = tmp_path / "data" / "audit.key"
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: FileIdHasher(path).digest("a"), range(16)))
    assert len(digests) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["audit.key"]
    assert FileIdHasher(tmp_path / "other.key").digest("a") not in digests


def test_a_damaged_key_for_ids_is_reported_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    path.write_bytes(b"short")
    with pytest.raises(IdKeyError, match=r"audit\.key holds 5 bytes"):
        FileIdHasher(path).load()
    with pytest.raises(AuditError, match=r"audit\.key holds 5 bytes"):
        open_log(tmp_path / "audit.jsonl", 0).prepare()
    assert path.read_bytes() == b"short"


def test_an_image_is_found_in_all_files_by_what_it_was_and_as_a_match(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.with_name("audit.jsonl.10").write_text('{"image_id": "a", "n": 0}\n{"image_id": "ab"}\n')
    path.with_name("audit.jsonl.9").write_text('{"matches": ["b", "a"], "n": 1}\n{"image_\n')
    log = open_log(path, 0)
    log.write({"n": 2, "image_id": "a"})
    log.write({"n": 3, "image_id": "b"})
    log.write({"n": 4, "matches": ["b", "a"]})
    log.close()
    found = find_image(path, FileIdHasher(tmp_path / "audit.key"), "a")
    assert [json.loads(line)["n"] for line in found.lines] == [0, 1, 2, 4]
    assert found.unreadable == 1


def test_the_command_prints_an_images_entries_and_makes_no_key(tmp_path: Path, command: Command) -> None:
    (tmp_path / "audit.jsonl").write_text('{"image_id": "a"}\n')
    outcome = command("audit", "find", "a", "--data-dir", tmp_path)
    assert (outcome.code, outcome.out) == (0, '{"image_id": "a"}\n')
    none = command("audit", "find", "b", "--data-dir", tmp_path)
    assert (none.code, none.out) == (0, "")
    assert "No entry names it" in none.err
    assert not (tmp_path / "audit.key").exists()
    assert command("audit", "find", "a", "--data-dir", tmp_path / "other").code == 2
