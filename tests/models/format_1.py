"""Bundles of manifest format 1, as the three commands wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.bundle import EXPLAINER, MANIFEST, RERANKER
from models.manifest import EMBEDDER, hash_file

FIXTURES = Path(__file__).parent / "fixtures"
FIGURES = {"queries": 8, "mAP": 71.25, "R1": 62.5, "R5": 100.0, "R10": 100.0, "mINP": 70.0}
OF_EMBEDDER: dict[str, Any] = {
    "seed": 3,
    "command": "lka-reid train embedder --config veri776.yaml",
    "data": {"name": "VeRi", "images": 12, "vehicles": 6, "sha256": "a" * 64},
    "weights": None,
    "commit": "c" * 40,
    "versions": {"torch": "2.8.0"},
    "machine": {"system": "Linux", "device": "a GPU", "threads": 4},
    "configuration": {"name": "veri776", "seed": 3},
}
OF_RERANKER: dict[str, Any] = OF_EMBEDDER | {
    "command": "lka-reid train reranker",
    "weights": {"name": "resnet50.safetensors", "sha256": "b" * 64},
    "configuration": {"name": "reranker"},
    "second_stage": [{"task": "test", "re_ordered": 10, "won": 2, "lost": 1}],
    "lists": {"mined": "by embedders that have not seen the lists' vehicles"},
    "checkpoint": {"by": "vehicles", "step": 40},
    "embedder": {"embedder": "d" * 64, "configuration": {"name": "veri776", "seed": 3}},
}
ACCURACY_OF_EMBEDDER: dict[str, Any] = {
    "measured_on": "test",
    "results": [
        {"row": "as served", "task": "test", "gallery": 12, **FIGURES},
        {"row": "with side information", "task": "test", "gallery": 12, **FIGURES},
    ],
}
ACCURACY_OF_RERANKER: dict[str, Any] = {
    "measured_on": "test",
    "results": [
        {"row": row, "task": "test", "gallery": 12, **FIGURES} for row in ("first stage", "both stages")
    ],
}


def written_for_the_default() -> dict[str, Any]:
    """The manifest of format 1 that the first default bundle was shipped with."""
    written: dict[str, Any] = json.loads((FIXTURES / "default-format-1.json").read_bytes())
    return written


def write_format_1(folder: Path, *, weights: bytes = b"no model", **changes: Any) -> Path:
    """A bundle of format 1 whose files hold no model; without changes, with the default's manifest."""
    folder.mkdir(parents=True)
    written = written_for_the_default() | {"files": {}} | changes
    for name in (EMBEDDER, RERANKER, EXPLAINER):
        (folder / name).write_bytes(weights if name == EMBEDDER else b"no model either")
        entry = {"sha256": hash_file(folder / name), "bytes": (folder / name).stat().st_size}
        written["files"][name] = entry
    (folder / MANIFEST).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return folder
