"""The compose file of a gallery on Milvus: pinned, bounded, checked, durable, reached from inside only."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from index.shared import SharedStore
from service.settings import PREFIX, Settings, load_settings, variable
from tests.docker.files import COMPOSE, MILVUS, ROOT, read_yaml
from tests.docker.test_compose import compose, interpolated, make_password
from tests.service.redis_server import redis_server

__all__ = ["compose"]

STACK = read_yaml(MILVUS)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
ADDED = sorted(SERVICES.keys() - {"api"})
SECRETS = {"LKA_REID_MILVUS_PASSWORD", "LKA_REID_OBJECTS_PASSWORD"}
every_added = pytest.mark.parametrize("name", ADDED)


def test_the_profile_adds_milvus_its_etcd_its_object_store_and_the_shared_store() -> None:
    assert ADDED == ["etcd", "milvus", "objects", "shared"]
    assert {name: SERVICES[name]["profiles"] for name in ADDED} == {name: ["milvus"] for name in ADDED}


@every_added
def test_an_added_container_is_pinned_bounded_and_checked(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(
        r"[\w./-]+:(v?\d+\.\d+\.\d+[\w.-]*|RELEASE\.\d{4}-\d\d-\d\dT[\d-]+Z)", service["image"]
    )
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


@every_added
def test_an_added_container_is_reached_from_inside_only_and_keeps_its_data(name: str) -> None:
    service = SERVICES[name]
    assert STACK["networks"] == {"store": {"internal": True}}
    assert service["networks"] == ["store"]
    assert "ports" not in service
    sources = [mount.partition(":")[0] for mount in service["volumes"]]
    assert name in sources
    assert set(sources) <= {*STACK["volumes"], "password"}


def test_what_is_needed_is_healthy_first() -> None:
    healthy = {"condition": "service_healthy"}
    assert SERVICES["api"]["depends_on"] == dict.fromkeys(["milvus", "objects", "shared"], healthy)
    assert SERVICES["milvus"]["depends_on"] == dict.fromkeys(["etcd", "objects"], healthy)


def test_there_is_no_password_in_the_file_and_none_by_default() -> None:
    text = MILVUS.read_text(encoding="utf-8")
    assert set(re.findall(r"\${(\w+):\?", text)) == SECRETS
    for line in text.splitlines():
        if re.search(r"(PASSWORD|SECRET|TOKEN)\w*:", line) and "PASSWORD_FILE" not in line:
            assert ":?" in line, line


def test_every_variable_of_the_service_is_a_setting_with_an_accepted_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in SERVICES["api"]["environment"].items():
        if key.startswith(PREFIX):
            assert key.removeprefix(PREFIX).lower() in Settings.model_fields
            monkeypatch.setenv(key, interpolated(re.sub(r"\${\w+:\?[^}]*}", "x", value)))
    settings = load_settings()
    assert settings.gallery == "milvus"
    assert variable("shared_url") in SERVICES["api"]["environment"]


def test_every_variable_that_the_file_reads_is_documented() -> None:
    read = set(re.findall(r"\${(\w+)", MILVUS.read_text(encoding="utf-8")))
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert not {name for name in read if f"`{name}`" not in text}


def test_the_shared_store_of_this_file_loses_nothing(tmp_path: Path) -> None:
    password = make_password(tmp_path)
    given = SERVICES["shared"]["command"][2:]
    pairs = {given[at].removeprefix("--"): given[at + 1] for at in range(0, len(given), 2)}
    options = {name: value for name, value in pairs.items() if name not in ("bind", "protected-mode")}
    with redis_server(tmp_path, config=tmp_path / "redis.conf", password=password, **options) as server:
        store = SharedStore(server.url, password=password)
        assert store.check() == []
        store.close()


def test_the_image_is_built_from_the_lock_with_what_milvus_needs() -> None:
    build = SERVICES["api"]["build"]
    assert (build["target"], build["args"]) == ("cpu", {"LOCK": "cpu-milvus"})
    assert "ARG LOCK=cpu-openvino" in (ROOT / build["dockerfile"]).read_text(encoding="utf-8")
    lock = (ROOT / "locks" / "cpu-milvus.txt").read_text(encoding="utf-8")
    for package in ("pymilvus", "s3fs", "onnxruntime", "redis"):
        assert re.search(rf"^{package}==", lock, re.MULTILINE), package


def test_compose_accepts_the_file(compose: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LKA_")}
    command = [*compose, "--project-directory", str(ROOT), "--file", str(COMPOSE), "--file", str(MILVUS)]
    command += ["--profile", "milvus", "--env-file", os.devnull, "config", "--quiet"]
    given = {**environment, **dict.fromkeys(SECRETS, "x")}
    done = subprocess.run(command, capture_output=True, text=True, env=given, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    bare = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert bare.returncode != 0
    assert "set a password" in bare.stderr
