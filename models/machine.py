"""This machine and this source tree, for the provenance of figures. Needs nothing but Python."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path


def source_commit() -> str | None:
    """The commit of the source tree, with a `+` where a tracked file was changed; None outside of one."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(  # noqa: S603
            ["git", "-C", str(here), *words],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
