"""Real servers for tests, out of packages that have an environment of their own beside the tests' "
"(`make servers`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SERVERS = Path(os.environ.get("LKA_REID_TEST_SERVERS", Path(sys.prefix) / "servers"))
"""The environment with the packages `milvus` and `moto`: their pins would not go with ours."""


def program(name: str) -> Path | None:
    """A program of that environment; None where it is not there."""
    found = SERVERS / "bin" / name
    return found if found.exists() else None
