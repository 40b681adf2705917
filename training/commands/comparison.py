"""`lka-reid compare-rerankers`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from training.commands.progress import err, out, refuse


def compare_rerankers(
    cells: Annotated[
        list[Path],
        typer.Argument(
            help="Folders like fold-0-seed-1 with validation/, test/ and reranker.safetensors.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--out", help="Gets a JSON file for each cell, and the table.")
    ] = Path("runs/comparison"),
    probes: Annotated[int, typer.Option(min=1, help="Probes of each cell to time.")] = 100,
) -> None:
    """Compare the strip re-ranker with re-rankers of the literature on the same first answers.

    Each peer's settings are chosen by mAP on a cell's validation features and measured on its test features.
    --out gets table.md and table.json: mAP, R1, R5, milliseconds a probe, and paired tests.
    """
    import torch

    from training.checkpoints.weights import CheckpointError
    from training.features.store import FeatureStoreError
    from training.reporting.provenance import command, surroundings
    from training.studies.comparison import Cell, ComparisonError, measure
    from training.studies.comparison_table import all_paired, markdown, protocol_notes, summary
    from training.studies.latency import time_alone

    try:
        found = [Cell.at(path) for path in cells]
        names = [cell.name for cell in found]
        if len(set(names)) < len(names):
            raise ComparisonError(f"a cell is given twice: {', '.join(sorted(names))}")
        folder.mkdir(parents=True, exist_ok=True)
        measured = []
        for cell in found:
            measured.append(
                measure(
                    cell,
                    lambda cell, peers: time_alone(cell, peers, probes),
                    report=lambda text: err.print(text, markup=False),
                )
            )
            path = folder / f"{cell.name}.json"
            path.write_text(json.dumps(measured[-1], indent=1) + "\n", encoding="utf-8")
        if len({one["protocol"] for one in measured}) > 1:
            raise ComparisonError("some cells know cameras and some do not: they make no common table")
    except (CheckpointError, FeatureStoreError, ValueError) as error:
        raise refuse(error) from None
    lines, tests = summary(measured), all_paired(measured)
    around = surroundings(torch.device("cpu"))
    notes = [
        *protocol_notes(measured, lines),
        f"`{command(sys.argv[1:])}`",
        f"commit {around['commit']}, {around['machine']['device']}",
    ]
    text = markdown(lines, tests, notes)
    (folder / "table.md").write_text(text, encoding="utf-8")
    (folder / "table.json").write_text(
        json.dumps({"rows": lines, "tests": tests, **around}, indent=1) + "\n", encoding="utf-8"
    )
    out.print(text, markup=False, soft_wrap=True)
