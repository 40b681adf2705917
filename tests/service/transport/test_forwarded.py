"""A trusted proxy says who asks and under which path; nobody else is believed."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from service.settings import SettingsError, load_settings
from tests.service.fakes import image_file
from tests.service.transport.wire import bounded

FORWARDED = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Prefix": "/reid/"}


@pytest.mark.parametrize(
    ("trusted", "prefix", "client"), [("127.0.0.0/8", "/reid", "198.51.100.7"), ("", "", "127.0.0.1")]
)
def test_prefix_and_client_are_those_of_a_trusted_proxy_alone(
    tmp_path: Path, trusted: str, prefix: str, client: str
) -> None:
    with bounded(tmp_path, trusted_proxies=trusted) as url:
        made = httpx.post(
            url + "/gallery", files={"image": ("x", image_file())}, data={"image_id": "a"}, headers=FORWARDED
        )
        assert made.headers["Location"] == prefix + "/gallery/a"
    [line] = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["client"] == client


@pytest.mark.parametrize(
    "prefix", ["reid", "//evil.example", "https://evil.example", "/a b", "/a\\b", "/../x?"]
)
def test_what_is_no_prefix_is_ignored(tmp_path: Path, prefix: str) -> None:
    with bounded(tmp_path, trusted_proxies="127.0.0.1") as url:
        made = httpx.post(
            url + "/gallery",
            files={"image": ("x", image_file())},
            data={"image_id": "a"},
            headers={"X-Forwarded-Prefix": prefix},
        )
        assert made.headers["Location"] == "/gallery/a"


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.0/33", "*", "10.0.0.0/8 10.1.0.0/16"])
def test_proxies_are_addresses(value: str) -> None:
    with pytest.raises(SettingsError, match="it takes addresses or networks with commas between"):
        load_settings(trusted_proxies=value)
    assert load_settings(trusted_proxies=" 10.0.0.0/8, ::1").trusted_proxies
