"""`lka-reid train reranker`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.commands.running import (
    Changes,
    DataSet,
    Further,
    Json,
    Resume,
    RunFolder,
    Weights,
    ending,
    session,
    show,
    sources,
)

if TYPE_CHECKING:
    from training.config.embedder import ExperimentConfig


def reranker(
    config: Annotated[
        Path,
        typer.Option(
            help="The experiment, a YAML file such as configs/reranker-vehicle-2cam.yaml.", show_default=False
        ),
    ],
    data: DataSet,
    embedder_config: Annotated[
        Path | None,
        typer.Option(
            help="The first stage's experiment, for instance configs/vehicle-2cam.yaml: it is trained first, "
            "and its folds' embedders with the same settings.",
            show_default=False,
        ),
    ] = None,
    embedder_run: Annotated[
        Path | None,
        typer.Option(
            "--embedder",
            help="In the place of --embedder-config: the folder of a finished `lka-reid train embedder`, on "
            "the same data.",
            show_default=False,
        ),
    ] = None,
    weights: Weights = None,
    further: Further = None,
    folder: RunFolder = Path("runs/reranker"),
    parts: Annotated[
        Path | None,
        typer.Option(
            help="Where embedders and features are kept and looked for, to share them between runs.",
            show_default="in --out",
        ),
    ] = None,
    resume: Resume = False,
    changes: Changes = None,
    embedder_changes: Annotated[
        list[str] | None,
        typer.Option(
            "--embedder-set",
            metavar="KEY=VALUE",
            help="The same for --embedder-config, for instance network.strips=4.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a re-ranker on a frozen embedder's lists, measure both stages, and write a report and a bundle.

    A candidate list is the first matches of a training image. By default the lists come from embedders that
    have not seen the image's vehicle: the training vehicles are cut into folds, and each fold has an embedder
    that was trained on the others (lists.mining).

    What is finished (embedders, descriptors and strips) is kept and used again. Ctrl-C finishes the step
    under way and tells how to go on.

    --out gets config.yaml (every key as it was used), embedder/, folds/ and features/ (unless --parts is
    given), checkpoint/ (until it is finished), tensorboard/, report/ (metrics.json, curves.png, cmc.png),
    embedder.safetensors, reranker.safetensors and bundle/.
    """
    from training.config.files import load_as
    from training.config.reranker import RerankerExperimentConfig
    from training.reranker.experiment import RerankerExperiment

    with ending(*([] if resume else ["--resume"]), writes=[folder]):
        chosen = load_as(RerankerExperimentConfig, config, changes or [])
        first = _embedder(embedder_config, embedder_run, embedder_changes or [])
        with session(chosen.run.device) as here:
            metrics = RerankerExperiment(
                chosen,
                first,
                sources(data, weights, further),
                folder,
                here.reporter,
                given=embedder_run,
                parts=parts,
                process=here.process,
                stop=here.stop,
            ).run(resume=resume)
    show(metrics, folder, as_json=as_json)


def _embedder(config: Path | None, run: Path | None, changes: list[str]) -> ExperimentConfig:
    """The first stage's configuration.

    Raises:
        ConfigError: there is none, or more than one.
    """
    from training.checkpoints.run_folder import RunFolder
    from training.config.files import ConfigError, load_config

    if (config is None) == (run is None):
        raise ConfigError("give the first stage, either by --embedder-config or by --embedder")
    if run is None:
        return load_config(config, changes)
    if changes:
        raise ConfigError("--embedder-set changes an --embedder-config; a finished run stays as it is")
    return load_config(RunFolder(run).config)
