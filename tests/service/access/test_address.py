"""Other machines are let in only with keys, or where somebody said so; and `lka-reid keys` makes the keys."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from service.access.idhash import FileIdHasher
from service.access.key import KeyScope, new_key
from service.access.keyfile import KeyFile
from service.access.keyring import Keyring
from service.server import check_address, listen
from service.settings import Settings
from service.startup import CommandError
from tests.service.access.holders import make_key
from tests.service.command_line import Command, free_port, serving_process
from tests.service.fakes import Running, image_file, running, write_bundle
from tests.service.test_server import serve_in_vain

EVERYWHERE = "0.0.0.0"  # noqa: S104


def is_refused(settings: Settings) -> bool:
    with listen(settings.host, 0) as listener:
        try:
            check_address(listener, settings, Keyring(KeyFile(settings.keys_path)))
        except CommandError:
            return True
    return False


def test_beyond_this_machine_there_must_be_keys_or_an_explicit_word(tmp_path: Path) -> None:
    assert not is_refused(Settings(data_dir=tmp_path))
    assert not is_refused(Settings(data_dir=tmp_path, host="localhost"))
    assert is_refused(Settings(data_dir=tmp_path, host=EVERYWHERE))
    assert not is_refused(Settings(data_dir=tmp_path, host=EVERYWHERE, allow_anonymous=True))
    file = KeyFile(tmp_path / "keys.json")
    secret = make_key(file, "admin")
    assert not is_refused(Settings(data_dir=tmp_path, host=EVERYWHERE))
    file.revoke(secret.split("_")[1])
    assert not is_refused(Settings(data_dir=tmp_path, host=EVERYWHERE))


@pytest.mark.slow
def test_the_refusal_names_both_remedies(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    error = serve_in_vain(
        "--host", EVERYWHERE, "--port", free_port(), "--data-dir", tmp_path / "data", "--bundle", bundle
    )
    assert "lka-reid keys create" in error
    assert "--allow-anonymous" in error
    assert "LKA_REID_ALLOW_ANONYMOUS" in error
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_damaged_keys_are_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    error = serve_in_vain("--port", free_port(), "--data-dir", tmp_path, "--bundle", tmp_path / "none")
    assert f"{tmp_path / 'keys.json'} is no file of keys" in error


def test_a_key_is_shown_once_listed_without_itself_and_revoked(command: Command) -> None:
    made = command(
        "keys", "create", "--scope", "query", "--scope", "enroll", "--name", "gate 3", "--data-dir", "d"
    )
    assert made.code == 0
    secret = made.out.strip()
    assert re.fullmatch(r"lka_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", secret)
    key_id = secret.split("_")[1]
    assert secret not in made.err
    assert "There is no gallery in d yet" in made.err

    listed = command("keys", "list", "--data-dir", "d")
    for part in (key_id, "gate 3", "query, enroll", secret[-4:]):
        assert part in listed.out
    assert secret not in listed.out
    [key] = KeyFile(Path("d/keys.json")).read()
    assert key.sha256 not in listed.out

    revoked = command("keys", "revoke", key_id, "--data-dir", "d")
    assert (revoked.code, revoked.out) == (0, f"Key {key_id} is revoked.\n")
    assert "everybody is refused until a key is made" in revoked.err
    assert "There are no keys" in command("keys", "list", "--data-dir", "d").out
    again = command("keys", "revoke", key_id, "--data-dir", "d")
    assert (again.code, again.err.count("\n")) == (2, 1)

    changes = [json.loads(line) for line in Path("d/audit.jsonl").read_text().splitlines()]
    assert [(line["action"], line["changed_key_id"]) for line in changes] == [
        ("keys.create", key_id),
        ("keys.revoke", key_id),
    ]
    assert secret not in Path("d/audit.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scope", "query", "--name", " "], "--name ' ' is not accepted; it takes 1 .. 64"),
        (["--scope", "root", "--name", "x"], "root"),
        (["--scope", "query", "--name", "x", "--expires", "soon"], "--expires 'soon' is not accepted"),
        (["--name", "x"], "--scope"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused(command: Command, arguments: list[str], message: str) -> None:
    outcome = command("keys", "create", *arguments, "--data-dir", "d")
    assert outcome.code == 2
    assert message in outcome.err
    assert not Path("d/keys.json").exists()


def test_a_list_of_keys_says_when_each_expires(command: Command) -> None:
    make = ("keys", "create", "--scope", "query", "--data-dir", "d", "--name")
    assert command(*make, "a").code == 0
    assert "2999-01-31 00:00 UTC" in command(*make, "b", "--expires", "2999-01-31").err
    then = datetime(2020, 1, 2, 3, 4, tzinfo=UTC)
    KeyFile(Path("d/keys.json")).add(new_key("c", {KeyScope.QUERY}, then, then)[1])
    listed = command("keys", "list", "--data-dir", "d").out
    for part in ("never", "2999-01-31", "2020-01-02", "expired"):
        assert part in listed


def test_without_an_audit_log_no_key_is_made(command: Command) -> None:
    Path("d").mkdir()
    Path("d/audit.jsonl").symlink_to("/dev/full")
    outcome = command("keys", "create", "--scope", "query", "--name", "x", "--data-dir", "d")
    assert outcome.code == 2
    assert "audit.jsonl cannot be written: No space left" in outcome.err
    assert KeyFile(Path("d/keys.json")).read() == ()


def test_keys_may_stand_elsewhere(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKA_REID_KEYS_FILE", "elsewhere/k.json")
    monkeypatch.setenv("LKA_REID_AUDIT_LOG", "elsewhere/a.jsonl")
    assert command("keys", "create", "--scope", "admin", "--name", "x").code == 0
    assert Path("elsewhere/k.json").exists()
    assert Path("elsewhere/a.jsonl").exists()
    assert not Path("lka-reid-data").exists()


@pytest.mark.slow
def test_clients_show_the_key_of_the_environment(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = make_key(KeyFile(tmp_path / "keys.json"), "query", "enroll")
    Path("images").mkdir()
    Path("images/a.png").write_bytes(image_file())
    with running(tmp_path) as service:
        refused = command("query", "images/a.png", "--url", service.url)
        assert refused.code == 2
        assert "send an API key" in refused.err
        assert "give a command one by LKA_REID_KEY or --key" in refused.err
        monkeypatch.setenv("LKA_REID_KEY", secret + "\n")
        assert re.match("enrolled +1\n", command("enroll", "images", "--url", service.url).out)
        assert command("query", "images/a.png", "--url", service.url).code == 0
        monkeypatch.setenv("LKA_REID_KEY", "schlüssel")
        assert "not known" in command("query", "images/a.png", "--url", service.url).err


def test_clients_wait_when_they_are_too_fast(tmp_path: Path, command: Command) -> None:
    Path("images").mkdir()
    for number in range(3):
        Path(f"images/{number}.png").write_bytes(image_file())
    with running(tmp_path, rate_per_s=5, rate_burst=1) as service:
        assert re.match("enrolled +3\n", command("enroll", "images", "--url", service.url).out)


@pytest.mark.slow
@pytest.mark.parametrize(("trusted", "client"), [("", "127.0.0.1"), ("127.0.0.0/8", "198.51.100.7")])
def test_a_client_is_whom_the_connection_or_a_trusted_proxy_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: str, client: str
) -> None:
    monkeypatch.setenv("LKA_REID_TRUSTED_PROXIES", trusted)
    bundle = write_bundle(tmp_path / "bundle")
    with serving_process("--data-dir", tmp_path / "data", "--bundle", bundle) as it:
        httpx.get(it.url + "/gallery", headers={"X-Forwarded-For": "198.51.100.7"})
    [line] = (tmp_path / "data" / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["client"] == client


@pytest.mark.slow
def test_nothing_a_service_prints_or_measures_names_key_image_or_vehicle(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    data = tmp_path / "data"
    file = KeyFile(data / "keys.json")
    secret, weak = make_key(file, "admin", name="hidden-name"), make_key(file, "query", name="hidden-name")
    ids = {"image_id": "hidden-image", "vehicle_id": "hidden-vehicle", "camera_id": "hidden-camera"}
    with (
        serving_process(
            "--data-dir", data, "--bundle", bundle, "--log-format", "json", "--log-level", "debug"
        ) as service,
        httpx.Client(base_url=service.url, headers={"X-API-Key": secret}) as client,
    ):
        image = {"image": ("hidden-file", image_file())}
        statuses = [
            client.post("/gallery", data=ids, files=image).status_code,
            client.post("/gallery", data=ids, files=image).status_code,
            client.post("/query", files=image).status_code,
            client.get("/gallery/hidden-image").status_code,
            client.get("/gallery/hidden-image/image").status_code,
            client.get("/gallery/hidden-other").status_code,
            client.get("/gallery?after=hidden").status_code,
            client.get("/hidden-path").status_code,
            client.get("/gallery", headers={"X-API-Key": weak}).status_code,
            client.get("/gallery", headers={"X-API-Key": weak[:-1] + "x"}).status_code,
            client.request("PUT", "/gallery/hidden-image").status_code,
            client.post("/query", files={"image": ("hidden-file", b"hidden-bytes")}).status_code,
            client.delete("/gallery/hidden-image").status_code,
        ]
        assert statuses == [201, 409, 200, 200, 200, 404, 422, 404, 403, 401, 405, 422, 204]
        measured = client.get("/metrics").text
        service.process.terminate()
        printed = "".join(service.process.communicate(timeout=20))
    assert '"status": 204' in printed
    assert 'reason="scope-missing"' in measured
    for text in (printed, measured):
        assert "hidden" not in text
        for shown in (secret, weak):
            assert shown.split("_", 2)[2][:20] not in text
            assert shown.split("_")[1] not in text
    written = (data / "audit.jsonl").read_text()
    assert "hidden-image" not in written
    assert FileIdHasher(data / "audit.key").digest("hidden-image") in written


def test_a_key_that_is_made_while_the_service_runs_closes_it(service: Running, command: Command) -> None:
    command(
        "keys", "create", "--scope", "query", "--name", "x", "--data-dir", service.app.state.settings.data_dir
    )
    assert service.query().status_code == 401
