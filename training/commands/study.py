"""`lka-reid study`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.commands.running import (
    Changes,
    DataSet,
    Folds,
    Json,
    OnlyFolds,
    Weights,
    ending,
    notes_of,
    publish,
    session,
)


class Group(StrEnum):
    """A table of the study."""

    strips = "strips"
    reranker = "re-ranker"
    selection = "selection"
    mining = "mining"


def study(
    data: DataSet,
    config: Annotated[
        Path, typer.Option(help="The configuration of every embedder, with strips.", show_default=False)
    ],
    weights: Weights = None,
    folder: Annotated[Path, typer.Option("--out", help="Keeps embedders, bands and every outcome.")] = Path(
        "runs/study"
    ),
    folds: Folds = 5,
    only_folds: OnlyFolds = None,
    cell_seeds: Annotated[int, typer.Option(min=1, help="Seeds of the embedders.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of our re-ranker in each cell.")] = 3,
    groups: Annotated[
        list[Group] | None,
        typer.Option("--group", help="Variants to measure beside ours; may be repeated. Default: all."),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--variant", help="Just the variants with this in their name, and ours; may be repeated."
        ),
    ] = None,
    only_ours: Annotated[bool, typer.Option("--only-ours", help="Leave the variants out.")] = False,
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Measure the second stage and its variants on vehicles that nothing in the study has seen.

    For each fold, an embedder learns from the other folds' vehicles; two more learn from halves of those and
    make the re-ranker's training lists of the half that they have not seen. Length of training and fusion
    are chosen on these halves. What is finished is kept, so the same command goes on where it was stopped;
    started again beside itself, it takes the folds that nobody has.
    """
    from training.config.files import load_config
    from training.datasets.layouts import open_dataset
    from training.reporting.provenance import sources_of
    from training.studies.cells import CellMaker
    from training.studies.second_stage import SecondStageStudy, markdown
    from training.studies.variants import select

    with ending(writes=[folder]):
        chosen = load_config(config, changes or [])
        dataset = open_dataset(data, chosen.data.layout)
        variants = select([] if only_ours else [str(group) for group in groups or Group], names or [])
        parts = chosen.data.parts(dataset, folds)[:only_folds]
        with session(chosen.run.device, chosen.run.precision) as here:
            begun = sources_of(data, dataset.train, weights)
            maker = CellMaker(chosen, weights, folder, here.reporter, begun, stop=here.stop)
            work = SecondStageStudy(maker, parts, folder, here.reporter, here.stop)
            outcomes = work.run(variants, cell_seeds, seeds)
            device = here.process.device
    side = chosen.network.image_size
    notes = [
        f"{data.stem}: {len(parts)} of {folds} folds by identity; {side[0]}x{side[1]} px, "
        f"{chosen.schedule.epochs} epochs, {'from ' + weights.name if weights else 'from nothing'}",
        "gain: both stages less the first alone on the same queries, ± standard deviation over the folds; "
        "inner gain: on the halves of the training vehicles, on which everything is chosen",
        *notes_of(device),
    ]
    publish(
        folder, markdown(outcomes, notes), {"outcomes": outcomes}, device, "outcomes.json", as_json=as_json
    )
