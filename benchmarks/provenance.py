"""The provenance of figures: commit, versions and machine. Needs no package of ours but `models.machine`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.machine import processor, source_commit


def provenance(packages: Sequence[str], device: str | None = None) -> dict[str, Any]:
    """Commit, versions and machine; its load of the last minute shows whether other programs ran.

    Args:
        packages: those whose versions are named; one that is not installed is left out.
        device: the name of a GPU; the processor's when not given.
    """
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "commit": source_commit(),
        "versions": versions,
        "machine": {
            "system": platform.platform(),
            "device": device or processor(),
            "cores": cores(),
            "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
            "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        },
    }


def in_words(origin: Mapping[str, Any]) -> str:
    """A provenance as one line below a table."""
    machine, versions = origin["machine"], origin["versions"]
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    commit = origin["commit"] or "unknown"
    changed = "+" if commit.endswith("+") else ""
    where = f"{machine['device']}, {machine['cores']} cores, load {machine['load']}"
    return f"{where}; {named}; commit {commit[:12]}{changed}"


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures for machines to read."""
    path.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
