"""How a process of our own is started that runs one of our modules."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

_START = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(*json.loads(sys.argv[3]))"
)


def command_line(module: str, arguments: Sequence[str | int]) -> list[str]:
    """The command line of a process that calls a module's `main`.

    Args:
        module: its full name.
        arguments: what `main` gets.
    """
    return [sys.executable, "-I", "-S", "-c", _START, json.dumps(_path()), module, json.dumps(arguments)]


def _path() -> list[str]:
    """Where the process finds modules: where this one does."""
    root = str(Path(__file__).parents[1])
    return [root, *(folder for folder in sys.path if folder not in ("", root))]
