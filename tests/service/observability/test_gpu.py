"""Metrics of GPUs, from a stand-in for NVML."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.observability.gpu import GpuCollector


class NVMLError(Exception):
    pass


def nvml(gpus: int, broken: int | None = None) -> Any:
    def handle(index: int) -> int:
        if index == broken:
            raise NVMLError("GPU is lost")
        return index

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: gpus,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(used=1000 + index, total=2000),
        nvmlDeviceGetUtilizationRates=lambda _index: SimpleNamespace(gpu=50),
    )


def test_every_gpu_tells_its_memory_and_utilisation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(3, broken=1))
    registry = CollectorRegistry()
    assert GpuCollector.register(registry)
    text = generate_latest(registry).decode()
    assert 'lka_reid_gpu_memory_used_bytes{gpu="0"} 1000.0' in text
    assert 'lka_reid_gpu_memory_total_bytes{gpu="2"} 2000.0' in text
    assert 'lka_reid_gpu_utilisation_ratio{gpu="0"} 0.5' in text
    assert 'gpu="1"' not in text


def test_without_gpu_driver_or_package_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise NVMLError("Driver Not Loaded")

    without_driver = nvml(1)
    without_driver.nvmlInit = no_driver
    for module in (nvml(0), without_driver, None):
        monkeypatch.setitem(sys.modules, "pynvml", module)
        registry = CollectorRegistry()
        assert not GpuCollector.register(registry)
        assert b"gpu" not in generate_latest(registry)
