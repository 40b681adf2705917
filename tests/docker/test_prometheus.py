"""The configuration of Prometheus: its targets and its alert rules."""

from __future__ import annotations

import subprocess

import pytest

from tests.docker.files import COMPOSE, PROMETHEUS, read_yaml
from tests.docker.prometheus import tool

RULES = [rule for group in read_yaml(PROMETHEUS / "rules.yml")["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_of_its_firing() -> None:
    text = (PROMETHEUS / "rules.test.yml").read_text(encoding="utf-8")
    assert not {name for name in ALERTS if name not in text}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_happened_and_what_to_do(name: str) -> None:
    assert ALERTS[name]["labels"]["severity"] in ("warning", "critical")
    assert set(ALERTS[name]["annotations"]) == {"summary", "action"}


def test_services_are_asked_under_their_names_in_the_stack() -> None:
    jobs = {job["job_name"]: job for job in read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]}
    services = read_yaml(COMPOSE)["services"]
    assert jobs["api"]["static_configs"] == [{"targets": ["api:8000"]}]
    [discovery] = jobs["worker"]["dns_sd_configs"]
    assert discovery["names"] == ["worker"]
    assert str(discovery["port"]) == services["worker"]["environment"]["LKA_REID_METRICS_PORT"]
    for name in ("api", "worker", "prometheus"):
        assert "watch" in services[name]["networks"]
