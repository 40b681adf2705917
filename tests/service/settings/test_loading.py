"""Where settings come from, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from service.settings import SettingsError, load_settings, shown, source, unknown_variables


def test_a_flag_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("LKA_REID_PORT=1001\nLKA_REID_MAX_BATCH=2\nLKA_REID_MAX_QUEUE=3\nOTHER=1\n")
    monkeypatch.setenv("LKA_REID_PORT", "1002")
    monkeypatch.setenv("LKA_REID_MAX_BATCH", "1")
    settings = load_settings(port=1003, host=None)
    assert (settings.port, settings.max_batch, settings.max_queue) == (1003, 1, 3)
    assert source(load_settings(), "port") == "environment"
    assert source(load_settings(), "max_queue") == ".env"
    assert source(load_settings(), "host") == "default"


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("PORT", "0", "a whole number, 1 .. 65,535"),
        ("PORT", "http", "a whole number, 1 .. 65,535"),
        ("MAX_BATCH", "-1", "a whole number, 1 .. 256"),
        ("REQUEST_DEADLINE_S", "0", "a number, more than 0 .. 3,600"),
        ("RUNTIME", "gpu", "auto | cuda | torch-cuda | openvino | cpu"),
        ("THREADS", "many", "a whole number, 1 .. 256"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, range_: str
) -> None:
    monkeypatch.setenv(f"LKA_REID_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == f"LKA_REID_{name}={value} is not accepted; it takes {range_}"


@pytest.mark.parametrize("name", ["data_dir", "bundle", "detector", "keys_file"])
def test_an_empty_path_is_not_the_current_folder(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"LKA_REID_{name.upper()}", "")
    with pytest.raises(SettingsError, match=f"LKA_REID_{name.upper()}= is not accepted; it takes a path"):
        load_settings()
    monkeypatch.setenv(f"LKA_REID_{name.upper()}", ".")
    assert getattr(load_settings(), name) == Path()


def test_all_wrong_values_are_named_and_flags_as_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKA_REID_PORT", "x")
    with pytest.raises(SettingsError) as caught:
        load_settings(max_batch=0)
    lines = str(caught.value).splitlines()
    assert sorted(line.split(" is not")[0] for line in lines) == ["--max-batch 0", "LKA_REID_PORT=x"]


def test_a_misspelt_variable_is_found() -> None:
    environment = {"LKA_REID_PROT": "1", "LKA_REID_PORT": "1", "LKA_REID_URL": "x", "PATH": ""}
    assert unknown_variables(environment) == ["LKA_REID_PROT"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MILVUS_URL", "http://me:s3cret@host:19530", "http://***@host:19530"),
        ("MILVUS_URL", "http://me:s3/cret@host:19530", "http://***@host:19530"),
        ("MILVUS_URL", "http://host:19530/?token=s3cret", "http://host:19530/?***"),
        ("MILVUS_URL", "me:s3cret@host", "***@host"),
        ("MILVUS_URL", "ftp://host", "ftp://host"),
        ("OBJECTS_ENDPOINT", "https://me:s3cret@host#x", "https://***@host?***"),
        ("OBJECTS_URL", "s3://me:s3cret@bucket/a", "s3://***@bucket/a"),
        ("OBJECTS_URL", "s3://bucket/a?secret=s3cret", "s3://bucket/a?***"),
        ("CORS_ORIGINS", "https://a,https://me:s3cret@b/", "https://a,https://***@b/"),
        ("TRUSTED_PROXIES", "http://me:s3cret@proxy", "http://***@proxy"),
    ],
)
def test_no_error_shows_a_secret_of_a_url(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"LKA_REID_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"LKA_REID_{name}={said} is not accepted; it takes ")


def test_values_are_shown_without_secrets() -> None:
    assert shown("redis_url", SecretStr("redis://me:s3cret@host")) == "**********"
    assert shown("shared_url", "redis://me:s3cret@host") == "**********"
    assert shown("milvus_token", "me:s3cret") == "**********"
    assert shown("objects_url", "/data/me@home?") == "/data/me@home?"
    assert shown("milvus_url", "http://host:19530/") == "http://host:19530/"
    assert shown("port", 8000) == "8000"


@pytest.mark.parametrize("name", ["redis", "shared"])
@pytest.mark.parametrize("contents", [None, b"\xff"])
def test_a_password_file_that_cannot_be_read_names_its_setting(
    tmp_path: Path, name: str, contents: bytes | None
) -> None:
    file = tmp_path / "password"
    if contents is not None:
        file.write_bytes(contents)
    settings = load_settings(**{f"{name}_password_file": file})
    with pytest.raises(OSError, match=f"LKA_REID_{name.upper()}_PASSWORD_FILE names this file") as caught:
        settings.redis_password() if name == "redis" else settings.shared_password()
    assert caught.value.filename == str(file)
    file.write_text("s3cret\n")
    assert (settings.redis_password() or settings.shared_password()) == "s3cret"
