"""The files that these tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
GPU = ROOT / "docker" / "gpu.yml"
MILVUS = ROOT / "docker" / "milvus.yml"
GPU_SEARCH = ROOT / "docker" / "gpu-search.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"
PROMETHEUS = ROOT / "docker" / "prometheus"
GRAFANA = ROOT / "docker" / "grafana"


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content
