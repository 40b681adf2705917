"""The audit log's chain: what was changed, removed or put in is named, and a crash is told apart."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from service.access.audit import AuditError, AuditLog
from service.access.auditchain import CHAIN, Chain
from service.access.auditfile import AuditFile, locked
from service.access.auditfind import files_of
from service.access.auditverify import Verification, verify
from service.access.idhash import FileIdHasher
from tests.service.command_line import Command
from tests.service.fakes import running


def open_log(path: Path, max_bytes: int = 0, backups: int = 5) -> AuditLog:
    ids = FileIdHasher(path.parent / "audit.key")
    return AuditLog(AuditFile(path, max_bytes, backups, ids.chain_key), ids)


def verified(path: Path, noted: str | None = None) -> Verification:
    ids = FileIdHasher(path.parent / "audit.key")
    return verify(path, Chain(ids.subkey(CHAIN)), noted)


def append(path: Path, numbers: range, max_bytes: int = 0) -> None:
    log = open_log(path, max_bytes)
    for number in numbers:
        log.write({"number": number})
    log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of nine entries in three files: 1-3, 4-6 and 7-9."""
    path = tmp_path / "audit.jsonl"
    append(path, range(1, 10), 550)
    assert [len(file.read_text().splitlines()) for file in files_of(path)] == [3, 3, 3]
    return path


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["entry"] for file in files_of(path) for line in file.read_text().splitlines()]


def test_entries_are_chained_across_files_and_restarts(path: Path) -> None:
    first = verified(path)
    assert (first.fault, first.entries, first.first, first.last.number) == (None, 9, 1, 9)
    append(path, range(10, 12), 550)
    again = verified(path, noted=first.last.hash)
    assert (again.fault, again.entries, again.noted) == (None, 11, True)
    assert numbers(path) == list(range(1, 12))


Change = Callable[[list[bytes]], object]


@pytest.mark.parametrize("suffix", [".2", ".1", ""], ids=["oldest", "middle", "newest"])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: lines.__setitem__(1, lines[1].replace(b'"number": ', b'"number": 9')), 2),
        (lambda lines: lines.__setitem__(2, lines[2].replace(b'"number": ', b'"number": 9')), 3),
        (lambda lines: lines.pop(1), 2),
        (lambda lines: lines.insert(1, lines[0]), 2),
        (lambda lines: lines.insert(1, b'{"number": 77}\n'), 2),
        (lambda lines: lines.__setitem__(1, lines[1][:30] + b"\n"), 2),
        (lambda lines: lines.insert(0, lines.pop(1)), None),
    ],
    ids=["changed", "last changed", "removed", "repeated", "put in", "cut", "swapped"],
)
def test_the_first_line_that_is_not_as_written_is_named(
    path: Path, suffix: str, change: Change, line: int | None
) -> None:
    file = path.with_name(path.name + suffix)
    lines = file.read_bytes().splitlines(keepends=True)
    change(lines)
    file.write_bytes(b"".join(lines))
    fault = verified(path).fault
    assert fault is not None
    assert line is None or f"{file}, line {line}" in fault


def test_a_file_that_is_missing_between_is_named(path: Path) -> None:
    path.with_name("audit.jsonl.1").unlink()
    assert verified(path).fault == f"entries 4 to 6 are missing before {path}, line 1, which is entry 7"


def test_files_that_were_rotated_out_are_no_fault(path: Path) -> None:
    path.with_name("audit.jsonl.2").unlink()
    found = verified(path)
    assert (found.fault, found.first, found.entries) == (None, 4, 6)


def test_entries_gone_from_the_beginning_are_a_fault_where_nothing_was_rotated(path: Path) -> None:
    for older in (1, 2):
        path.with_name(f"audit.jsonl.{older}").unlink()
    assert f"entries 1 to 6 are missing before {path}, line 1" in str(verified(path).fault)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    assert f"entries 1 to 7 are missing before {path}, line 1" in str(verified(path).fault)


def test_entries_gone_from_the_end_are_known_until_and_after_the_next_one(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert "entry 9 is missing at the end" in str(verified(path).fault)
    append(path, range(10, 11))
    assert f"entry 9 is missing before {path}, line 3" in str(verified(path).fault)


@pytest.mark.parametrize("length", [1, 40, -2])
def test_a_line_that_a_crash_tore_is_distinguished_from_tampering(path: Path, length: int) -> None:
    whole = path.read_bytes()
    head = path.with_name("audit.jsonl.head").read_bytes()
    append(path, range(10, 11))
    after = path.read_bytes()[len(whole) :]
    # As a process leaves it that is killed within a write: a part of the line, and the head of before.
    path.write_bytes(whole + after[:length])
    path.with_name("audit.jsonl.head").write_bytes(head)
    found = verified(path)
    assert (found.fault, found.entries, found.last.number) == (None, 9, 9)
    assert str(found.unfinished) == f"{path}, line 4"

    append(path, range(10, 12))
    found = verified(path)
    assert (found.fault, found.entries) == (None, 11)
    assert [str(torn) for torn in found.torn] == [f"{path}, line 4"]

    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b"x" + lines[3]
    path.write_bytes(b"".join(lines))
    assert f"{path}, line 4" in str(verified(path).fault)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert f"{path}, line 4: the torn line" in str(verified(path).fault)


def test_a_last_line_of_another_kind_is_no_crash(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"number": 10}\n')
    assert f"{path}, line 4: no entry of the chain" in str(verified(path).fault)


def test_lines_of_earlier_versions_stay_and_the_chain_begins_after_them(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"number": -1}\n{"number": 0}\n')
    append(path, range(3))
    found = verified(path)
    assert (found.fault, found.unchained, found.entries, found.first) == (None, 2, 3, 1)


def test_a_chain_made_with_another_key_is_not_this_one(path: Path) -> None:
    (path.parent / "audit.key").unlink()
    assert f"{path}.2, line 1: entry 1 is not what was written" in str(verified(path).fault)


def test_processes_that_append_at_the_same_time_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=append, args=(path, range(100 * start, 100 * start + 100), size))
        for start, size in enumerate([4000, 0, 0])
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    kept = numbers(path)
    assert kept == list(range(kept[0], 301))
    assert verified(path).fault is None


def test_a_lock_that_is_not_given_back_is_an_error_that_names_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.access.auditfile.LOCK_S", 0.01)
    log = open_log(path)
    with locked(path), pytest.raises(AuditError, match=r"another process has held audit\.jsonl\.lock"):
        log.write({"number": 10})
    log.check()
    log.close()
    assert numbers(path) == list(range(1, 11))


def test_a_line_that_the_disk_takes_in_part_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(descriptor: int, data: bytes) -> None:
        monkeypatch.undo()
        with open(descriptor, "ab", closefd=False) as file:
            file.write(data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.access.auditfile._write", half)
    log = open_log(path)
    with pytest.raises(AuditError, match="No space left"):
        log.write({"number": 10})
    log.check()
    log.close()
    found = verified(path)
    assert (found.fault, found.entries, found.torn) == (None, 10, [])


@pytest.mark.slow
def test_a_running_service_and_the_command_line_write_one_chain(tmp_path: Path, command: Command) -> None:
    with running(tmp_path) as service:
        service.enroll(image_id="a")
        made = command("keys", "create", "--scope", "admin", "--name", "Ada", "--data-dir", tmp_path)
        assert made.code == 0
        service.client.delete("/gallery/a", headers={"X-API-Key": made.out.strip()})
        checked = command("audit", "verify", "--data-dir", tmp_path)
        assert (checked.code, "3 entries are as written" in checked.out) == (0, True)
        noted = checked.out.split()[-1]
        lines = (tmp_path / "audit.jsonl").read_text()
        (tmp_path / "audit.jsonl").write_text(lines.replace("Ada", "Eve"))
    broken = command("audit", "verify", "--data-dir", tmp_path)
    assert broken.code == 1
    assert f"{tmp_path / 'audit.jsonl'}, line 2: entry 2 is not what was written" in broken.err
    (tmp_path / "audit.jsonl").write_text(lines)
    assert command("audit", "verify", "--noted", noted, "--data-dir", tmp_path).code == 0
    other = command("audit", "verify", "--noted", "0" * 32, "--data-dir", tmp_path)
    assert (other.code, "no entry has the hash" in other.err) == (1, True)


def test_verifying_wants_the_log_and_its_key(path: Path, command: Command) -> None:
    assert command("audit", "verify", "--data-dir", path.parent / "other").code == 2
    (path.parent / "audit.key").unlink()
    outcome = command("audit", "verify", "--data-dir", path.parent)
    assert (outcome.code, "audit.key is missing" in outcome.err) == (2, True)
    assert not (path.parent / "audit.key").exists()
