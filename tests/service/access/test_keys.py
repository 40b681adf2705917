"""Keys at rest: hashed, private, whole; and gone at once when revoked."""

from __future__ import annotations

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.access import keyring as keyring_module
from service.access.expiry import parse_expiry
from service.access.key import KeyScope, id_of, new_key
from service.access.keyfile import KeyFile, KeyFileError, UnknownKeyError
from service.access.keyring import Keyring
from tests.service.access.holders import MADE, make_key


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "data" / "keys.json")


def test_a_key_holds_its_id_and_256_random_bits() -> None:
    secrets = {new_key("x", {KeyScope.QUERY}, MADE)[0] for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        beginning, key_id, rest = secret.split("_", 2)
        assert (beginning, len(rest)) == ("lka", 43)
        assert id_of(secret) == key_id


@pytest.mark.parametrize("name", ["", " x", "x\n", "x" * 65, "\u202ex"])
def test_a_name_that_would_disturb_lists_and_logs_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="printable"):
        new_key(name, {KeyScope.QUERY}, MADE)


def test_a_key_without_scope_is_refused() -> None:
    with pytest.raises(ValidationError):
        new_key("x", set(), MADE)


def test_admin_permits_everything_and_the_others_only_themselves() -> None:
    for scope in KeyScope:
        _, key = new_key("x", {scope}, MADE)
        for wanted in KeyScope:
            assert key.permits(wanted) == (scope in (wanted, KeyScope.ADMIN))


def test_what_is_stored_is_the_hash_for_its_owner_alone(file: KeyFile) -> None:
    secret = make_key(file, "query")
    text = file.path.read_text()
    assert secret not in text
    assert secret.split("_", 2)[2] not in text
    assert hashlib.sha256(secret.encode()).hexdigest() in text
    for path in file.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    [key] = file.read()
    assert (key.name, key.last4, key.created) == ("gate 3", secret[-4:], MADE)
    assert key.sha256 not in repr(key)


def test_a_change_that_fails_leaves_the_keys_and_nothing_else(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(file, "query")
    before = file.path.read_bytes(), {path.name for path in file.path.parent.iterdir()}

    def fail(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyFileError, match=r"keys\.json cannot be written: No space left"):
        make_key(file, "enroll")
    assert (file.path.read_bytes(), {path.name for path in file.path.parent.iterdir()}) == before


def test_keys_made_at_the_same_time_are_all_kept(file: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: make_key(file, "query", name=str(number)), range(16)))
    assert {key.name for key in file.read()} == {str(number) for number in range(16)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no file of keys"),
        ("{}{", "no file of keys"),
        ('{"keys": [{"id": "x"}]}', r"no file of keys \(keys.0.id"),
        ('{"version": 2, "keys": []}', "version 2"),
        ('{"users": []}', "no file of keys"),
    ],
)
def test_a_damaged_file_is_refused(file: KeyFile, text: str, message: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(text)
    with pytest.raises(KeyFileError, match=message):
        Keyring(file)


def test_without_a_file_no_key_is_needed_and_with_the_first_one_it_is(file: KeyFile) -> None:
    keyring = Keyring(file)
    assert not keyring.required
    secret = make_key(file, "enroll")
    assert keyring.required
    key = keyring.identify(secret)
    assert key is not None
    assert key.scopes == (KeyScope.ENROLL,)


def test_a_revoked_key_is_not_known_any_more_and_the_last_one_opens_nothing(file: KeyFile) -> None:
    first, second = make_key(file, "query"), make_key(file, "query")
    keyring = Keyring(file)
    assert keyring.identify(first)
    file.revoke(first.split("_")[1])
    assert keyring.identify(first) is None
    assert keyring.identify(second)
    file.revoke(second.split("_")[1])
    assert keyring.identify(second) is None
    assert keyring.required
    assert Keyring(file).required
    with pytest.raises(UnknownKeyError):
        file.revoke(second.split("_")[1])


def test_a_file_that_vanishes_or_is_damaged_opens_nothing(file: KeyFile) -> None:
    secret = make_key(file, "query")
    keyring = Keyring(file)
    file.path.unlink()
    assert keyring.required
    assert keyring.identify(secret) is None
    file.path.write_text("damaged")
    for _ in range(2):
        with pytest.raises(KeyFileError):
            keyring.identify(secret)


def test_a_changed_character_makes_another_key(file: KeyFile) -> None:
    secret = make_key(file, "query")
    keyring = Keyring(file)
    for other in (secret[:-1], secret + "x", secret.upper(), secret[:-1] + "!", "", "é", secret.swapcase()):
        assert keyring.identify(other) is None


def test_hashes_are_compared_in_constant_time_for_every_id(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = make_key(file, "query")
    keyring = Keyring(file)
    compared: list[tuple[Any, Any]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(keyring_module, "hmac", type("hmac", (), {"compare_digest": staticmethod(compare)}))
    assert keyring.identify(secret)
    assert keyring.identify(new_key("x", {KeyScope.QUERY}, MADE)[0]) is None
    assert keyring.identify("no key at all") is None
    assert len(compared) == 3
    assert all(len(one) == len(other) == 64 for one, other in compared)


def test_a_file_of_keys_without_expiry_is_read_and_stays_as_it_was(file: KeyFile) -> None:
    make_key(file, "query")
    assert "expires" not in file.path.read_text()
    [key] = file.read()
    assert not key.is_expired(datetime.max.replace(tzinfo=UTC))


def test_a_key_expires_at_its_moment_and_not_before(file: KeyFile) -> None:
    _, made = new_key("x", {KeyScope.QUERY}, MADE, MADE + timedelta(hours=1))
    file.add(made)
    [key] = file.read()
    assert not key.is_expired(MADE + timedelta(minutes=59))
    assert key.is_expired(MADE + timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12h", datetime(2026, 1, 2, 15, 4, tzinfo=UTC)),
        ("90d", datetime(2026, 4, 2, 3, 4, tzinfo=UTC)),
        ("2w", datetime(2026, 1, 16, 3, 4, tzinfo=UTC)),
        ("2026-01-03", datetime(2026, 1, 3, tzinfo=UTC)),
        ("2026-01-03T01:00+02:00", datetime(2026, 1, 2, 23, 0, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_span_a_date_or_a_time_with_its_zone(text: str, expected: datetime) -> None:
    assert parse_expiry(text, MADE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "0d",
        "-1d",
        "1.5d",
        "999999w",
        "2026-01-02",
        "2025-12-31",
        "2027-01-31T10:00",
        "tomorrow",
        "0001-01-01T00:00+14:00",
    ],
)
def test_an_expiry_that_is_past_or_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it takes|past already|beyond the calendar"):
        parse_expiry(text, MADE)
