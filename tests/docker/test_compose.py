"""The compose file: what every container is denied, bounded by and checked by."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.queue.connection import connect_as_set, failures_named
from service.queue.errors import QueueUnavailableError
from service.settings import PREFIX, Settings, load_settings, variable
from tests.docker.files import COMPOSE, DOCKERFILE, GPU, GPU_SEARCH, ROOT, read_yaml
from tests.service.redis_server import redis_server

STACK = read_yaml(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = ("api", "worker")
OF_COMPOSE = {"LKA_REID_PORT", "LKA_REID_API_CPUS", "LKA_REID_API_MEMORY", "LKA_REID_WORKER_CPUS"}
OF_COMPOSE |= {"LKA_REID_WORKER_MEMORY", "LKA_REID_GPUS"}

MAKER = "password"
"""The service that makes the password of Redis and ends."""
SECRET = f"{MAKER}:/run/lka-reid:ro"

every_service = pytest.mark.parametrize("name", SERVICES)
every_lasting_service = pytest.mark.parametrize("name", sorted(SERVICES.keys() - {MAKER}))


def test_the_stack_is_the_five_services_and_the_one_that_makes_the_password() -> None:
    assert sorted(SERVICES) == ["api", "grafana", MAKER, "prometheus", "redis", "worker"]


@every_service
def test_a_container_can_change_nothing_but_its_volumes(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    for mount in service.get("volumes", []):
        source, _, rest = mount.partition(":")
        assert source in STACK["volumes"] or rest.endswith(":ro"), mount
    for mount in service["tmpfs"]:
        assert {"noexec", "nosuid", "nodev"} <= set(mount.partition(":")[2].split(",")), mount
        assert "size=" in mount


@every_service
def test_a_container_is_bounded_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["restart"] == ("no" if name == MAKER else "unless-stopped")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@every_lasting_service
def test_a_container_says_whether_it_works(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    assert "start_interval" not in check, "older engines refuse it"


def test_nobody_runs_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert users == ["10001:10001", "10001:10001"]
    for name in SERVICES.keys() - set(OURS):
        assert SERVICES[name]["user"] not in ("root", "0"), name


@every_service
def test_images_have_a_version(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        return
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", service["image"]), service["image"]


@every_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_redis_and_workers_are_reached_from_inside_only() -> None:
    inside = {name for name, network in STACK["networks"].items() if network.get("internal")}
    assert inside == {"queue", "watch"}
    for name in ("redis", "worker"):
        assert set(SERVICES[name]["networks"]) <= inside
        assert "ports" not in SERVICES[name]
    attached = {name for name, service in SERVICES.items() if "queue" in service.get("networks", ())}
    assert attached == {"api", "worker", "redis"}


def test_what_is_needed_is_healthy_first() -> None:
    for name, needed in {"api": "redis", "worker": "redis", "grafana": "prometheus"}.items():
        assert SERVICES[name]["depends_on"][needed] == {"condition": "service_healthy"}


def test_only_those_who_need_the_password_of_redis_have_it() -> None:
    mounts = {
        name: mount
        for name, service in SERVICES.items()
        for mount in service.get("volumes", [])
        if mount.startswith(f"{MAKER}:")
    }
    assert mounts == {MAKER: f"{MAKER}:/data", "api": SECRET, "worker": SECRET, "redis": SECRET}
    assert SERVICES[MAKER]["network_mode"] == "none"
    assert SERVICES["redis"]["depends_on"][MAKER] == {"condition": "service_completed_successfully"}
    assert SERVICES["redis"]["command"][:2] == ["redis-server", "/run/lka-reid/redis.conf"]
    for name in OURS:
        environment = SERVICES[name]["environment"]
        assert environment[variable("redis_password_file")] == "/run/lka-reid/redis-password"
        assert "@" not in environment[variable("redis_url")]
    assert "REDISCLI_AUTH" in SERVICES["redis"]["healthcheck"]["test"][1]


def make_password(folder: Path) -> str:
    """What the container of that service does, in a folder of this machine."""
    [program, flags], [script] = SERVICES[MAKER]["entrypoint"], SERVICES[MAKER]["command"]
    subprocess.run([program, flags, script.replace("$$", "$")], cwd=folder, check=True, timeout=20)
    return (folder / "redis-password").read_text()


def test_the_password_is_made_once_and_readable_for_other_users(tmp_path: Path) -> None:
    password = make_password(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{64}", password)
    assert (tmp_path / "redis.conf").read_text() == f"requirepass {password}\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o644}
    assert make_password(tmp_path) == password
    other = tmp_path / "other"
    other.mkdir()
    assert make_password(other) != password


def test_redis_takes_the_password_that_is_made_and_nothing_without_it(tmp_path: Path) -> None:
    password = make_password(tmp_path)

    async def ask(url: str, file: Path | None) -> bool:
        settings = Settings(redis_url=SecretStr(url), redis_password_file=file)
        client = connect_as_set(settings)
        try:
            with failures_named():
                return bool(await client.ping())
        finally:
            await client.aclose()

    with redis_server(tmp_path, config=tmp_path / "redis.conf", password=password) as server:
        assert asyncio.run(ask(server.url, tmp_path / "redis-password"))
        for url in (server.url, server.url.replace("//", "//:wrong@")):
            with pytest.raises(QueueUnavailableError, match="LKA_REID_REDIS_PASSWORD_FILE"):
                asyncio.run(ask(url, None))
        with pytest.raises(FileNotFoundError):
            asyncio.run(ask(server.url, tmp_path / "nowhere"))


def test_what_must_last_is_in_a_volume() -> None:
    assert "gallery:/data" in SERVICES["api"]["volumes"]
    assert "redis:/data" in SERVICES["redis"]["volumes"]
    assert SERVICES["redis"]["command"][-2:] == ["--maxmemory-policy", "noeviction"]


@pytest.mark.parametrize("name", OURS)
def test_docker_waits_until_requests_under_way_are_answered(name: str) -> None:
    grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    drain = float(SERVICES[name]["environment"][variable("drain_s")])
    # The server drains for as long, and the batcher once more.
    assert grace > 2 * drain


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_with_an_accepted_value(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {**SERVICES[name]["environment"], **gpu_environment(name)}.items():
        if key.startswith(PREFIX):
            assert key.removeprefix(PREFIX).lower() in Settings.model_fields
            monkeypatch.setenv(key, interpolated(value))
    load_settings()


def gpu_environment(name: str) -> dict[str, str]:
    return {
        key: value
        for file in (GPU, GPU_SEARCH)
        for key, value in read_yaml(file)["services"].get(name, {}).get("environment", {}).items()
    }


def interpolated(value: str) -> str:
    return re.sub(r"\${\w+:-([^}]*)}", r"\1", str(value))


def test_every_variable_that_compose_reads_is_documented() -> None:
    read = set(re.findall(r"\${(\w+)", COMPOSE.read_text() + GPU.read_text() + GPU_SEARCH.read_text()))
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert not {name for name in read if f"`{name}`" not in text}


def test_two_processes_embed_so_that_one_holds_while_the_other_starts() -> None:
    assert SERVICES["worker"]["environment"]["LKA_REID_PROCESSES"] == "${LKA_REID_WORKER_PROCESSES:-2}"


@pytest.mark.parametrize(("file", "name"), [(GPU, "worker"), (GPU_SEARCH, "api")])
def test_a_gpu_file_changes_one_service_and_gives_it_gpus(file: Path, name: str) -> None:
    services = read_yaml(file)["services"]
    assert list(services) == [name]
    [device] = services[name]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    assert services[name]["image"] == "lka-reid:gpu"
    assert services[name]["build"]["target"] == "gpu"


def test_a_worker_has_as_many_gpus_as_its_processes_are_spread_over() -> None:
    worker = read_yaml(GPU)["services"]["worker"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["count"] == worker["environment"]["LKA_REID_GPUS"] == "${LKA_REID_GPUS:-1}"


def test_a_service_with_a_gpu_for_the_search_may_take_more_memory() -> None:
    api = read_yaml(GPU_SEARCH)["services"]["api"]["deploy"]["resources"]
    assert api["limits"] == {"memory": "${LKA_REID_API_MEMORY:-8g}"}
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert "`LKA_REID_API_MEMORY` | 1, 2g, with `docker/gpu-search.yml` 8g |" in text


@pytest.fixture
def compose() -> list[str]:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed: its own check of the file was left out")
    return [docker, "compose"]


@pytest.mark.parametrize(
    "files", [[COMPOSE], [COMPOSE, GPU], [COMPOSE, GPU, GPU_SEARCH]], ids=["cpu", "gpu", "gpu-search"]
)
def test_compose_accepts_the_file(compose: list[str], files: list[Any]) -> None:
    given = [part for file in files for part in ("--file", str(file))]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("LKA_", "COMPOSE_"))
    }
    done = subprocess.run(
        [*compose, "--project-directory", ROOT, *given, "--env-file", os.devnull, "config", "--quiet"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
