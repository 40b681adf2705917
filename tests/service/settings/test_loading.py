"""Where settings come from, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import SettingsError, load_settings, source, unknown_variables


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


def test_all_wrong_values_are_named_and_flags_as_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKA_REID_PORT", "x")
    with pytest.raises(SettingsError) as caught:
        load_settings(max_batch=0)
    lines = str(caught.value).splitlines()
    assert sorted(line.split(" is not")[0] for line in lines) == ["--max-batch 0", "LKA_REID_PORT=x"]


def test_a_misspelt_variable_is_found() -> None:
    environment = {"LKA_REID_PROT": "1", "LKA_REID_PORT": "1", "LKA_REID_URL": "x", "PATH": ""}
    assert unknown_variables(environment) == ["LKA_REID_PROT"]
