"""The provenance of figures: commit, versions and machine. Needs nothing but Python."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


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
        "commit": _commit(),
        "versions": versions,
        "machine": {
            "system": platform.platform(),
            "device": device or _processor(),
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


def _commit() -> str | None:
    """The commit of the source tree, with a `+` where it was changed; None outside of one."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
