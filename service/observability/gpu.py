"""What NVML says of the GPUs of this machine: memory and utilisation, read when the metrics are asked for.

NVML was not run where this was written, for want of a GPU; a test stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)


class GpuCollector(Collector):
    """One sample per GPU of each of three gauges.

    Args:
        nvml: the module `pynvml`, initialised.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    @classmethod
    def register(cls, registry: CollectorRegistry) -> bool:
        """Add the collector where `nvidia-ml-py`, a driver and a GPU are there; else leave it out."""
        try:
            nvml = import_module("pynvml")
            nvml.nvmlInit()
            count = nvml.nvmlDeviceGetCount()
        except ImportError:
            return False
        except nvml.NVMLError:
            return False
        if count:
            registry.register(cls(nvml))
        return bool(count)

    def collect(self) -> Iterable[Metric]:
        """Read every GPU; one that does not answer is left out."""
        used = GaugeMetricFamily("lka_reid_gpu_memory_used_bytes", "Memory in use.", labels=["gpu"])
        total = GaugeMetricFamily("lka_reid_gpu_memory_total_bytes", "Memory there is.", labels=["gpu"])
        busy = GaugeMetricFamily(
            "lka_reid_gpu_utilisation_ratio", "Share of time with a kernel running.", labels=["gpu"]
        )
        nvml = self._nvml
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
                utilisation = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            except nvml.NVMLError as error:
                log.warning("gpu_does_not_answer", gpu=index, error=str(error))
                continue
            used.add_metric([str(index)], memory.used)
            total.add_metric([str(index)], memory.total)
            busy.add_metric([str(index)], utilisation)
        return (used, total, busy)
