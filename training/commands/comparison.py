"""`lka-reid compare-rerankers` and `lka-reid compare-embedders`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.terminal import err, out
from training.commands.measuring import BUNDLE, BundleFolder
from training.commands.progress import refuse
from training.commands.running import (
    CONFIGS,
    Changes,
    DataSet,
    Json,
    RunFolder,
    Weights,
    ending,
    notes_of,
    publish,
    session,
    sources,
)

PLAIN_CONFIG = CONFIGS / "resnet50-vehicle-2cam.yaml"


def compare_rerankers(
    cells: Annotated[
        list[Path],
        typer.Argument(
            help="Runs of `lka-reid train reranker`, `train default-bundle` or `tune`; or a study's folders, "
            "like fold-0-seed-1, with validation/, test/ and reranker.safetensors.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--out", help="Gets a JSON file for each cell, and the table.")
    ] = Path("runs/comparison"),
    probes: Annotated[int, typer.Option(min=1, help="Probes of each cell to time.")] = 100,
    as_json: Json = False,
) -> None:
    """Compare the strip re-ranker with re-rankers of the literature on the same candidate lists.

    Each baseline's settings are chosen by mAP on a cell's validation features and measured on its test
    features. A run has none set aside for that: there they are chosen on what it has learned from. --out
    gets table.md and table.json: mAP, R1, R5, milliseconds a probe, and paired tests.
    """
    import torch

    from training.atomic import OutputError, require_writable, write_json
    from training.checkpoints.weights import WeightsError
    from training.features.store import FeatureStoreError
    from training.studies.comparison import Cell, ComparisonError, measure
    from training.studies.comparison_table import all_paired, markdown, protocol_notes, summary
    from training.studies.latency import time_alone

    try:
        require_writable(folder)
        found = [Cell.at(path) for path in cells]
        names = [cell.name for cell in found]
        if len(set(names)) < len(names):
            raise ComparisonError(
                f"{', '.join(names)}: two of one fold and seed, which would count the same vehicles twice"
            )
        measured = []
        for cell in found:
            measured.append(
                measure(
                    cell,
                    lambda cell, baselines: time_alone(cell, baselines, probes),
                    report=lambda text: err.print(text, markup=False),
                )
            )
            write_json(folder / f"{cell.name}.json", measured[-1])
        if len({one["protocol"] for one in measured}) > 1:
            raise ComparisonError("some cells know cameras and some do not: they make no common table")
    except (OutputError, WeightsError, FeatureStoreError, ValueError) as error:
        raise refuse(error) from None
    lines, tests = summary(measured), all_paired(measured)
    device = torch.device("cpu")
    notes = [*protocol_notes(measured, lines), *notes_of(device)]
    if any(cell.is_run for cell in found):
        notes.append("a run's validation features are of images that its embedder has learned from")
    text = markdown(lines, tests, notes)
    publish(folder, text, {"rows": lines, "tests": tests}, device, as_json=as_json)


def compare_embedders(
    data: DataSet,
    weights: Weights = None,
    config: Annotated[
        Path, typer.Option(help="The plain network's configuration.", show_default=PLAIN_CONFIG.name)
    ] = PLAIN_CONFIG,
    bundle: BundleFolder = BUNDLE,
    folder: RunFolder = Path("runs/plain"),
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Compare a bundle with a plain network on the vehicles that were held out of the training.

    The plain network is measured twice: with the published weights alone, at 256 px, and fine-tuned on the
    vehicles that the bundle learned from. Each camera's images query those of the other cameras. The run in
    --out is resumed, or used as it is where it is finished.
    """
    from models.bundle import Bundle
    from models.runtime import Models
    from training.config.files import load_config
    from training.embedder.experiment import Experiment
    from training.reporting.terminal import accuracy_table
    from training.studies.plain import compare_embedders as compare

    with ending(writes=[folder]):
        chosen = load_config(config, changes or [])
        models = Models.load(Bundle.load(bundle), "cpu")
        with session(chosen.run.device, chosen.run.precision) as here:
            plain = Experiment(
                chosen,
                sources(data, weights),
                folder,
                here.reporter,
                process=here.process,
                stop=here.stop,
            )
            accuracy = compare(plain, models)
    if as_json:
        out.print_json(data=accuracy.model_dump(mode="json"))
    else:
        out.print(accuracy_table(accuracy))
