"""`lka-reid train classifier`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from models.terminal import out
from models.wording import counted
from training.commands.running import Changes, Json, Resume, RunFolder, ending, session


def classifier(
    config: Annotated[
        Path,
        typer.Option(
            help="The configuration, a YAML file such as configs/lkca-cifar10.yaml.", show_default=False
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="The data set: cifar-10-batches-bin, cifar-100-binary or tiny-imagenet-200 as published, or "
            "a .npz file of images_train, labels_train, images_test and labels_test.",
            show_default=False,
        ),
    ],
    folder: RunFolder = Path("runs/classifier"),
    resume: Resume = False,
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Train an image classifier, ViT-LKCA or its plain twin, and measure it on the test images.

    Every epoch is saved: Ctrl-C finishes the step under way and tells how to go on. --out gets config.yaml,
    checkpoint/ (until it is finished), tensorboard/, report/ (metrics.json, curves.png) and
    classifier.safetensors.
    """
    from training.classifier.experiment import ClassifierExperiment
    from training.config.classifier import ClassifierConfig
    from training.config.files import load_as
    from training.reporting.provenance import command

    with ending(*([] if resume else ["--resume"]), writes=[folder]):
        chosen = load_as(ClassifierConfig, config, changes or [])
        with session(chosen.run.device, chosen.run.precision) as here:
            metrics = ClassifierExperiment(
                chosen,
                data,
                command(sys.argv[1:]),
                folder,
                here.reporter,
                process=here.process,
                stop=here.stop,
            ).run(resume=resume)
    if as_json and metrics:
        out.print_json(data={"results": metrics.get("results", []), "report": str(folder / "report")})
        return
    for row in metrics.get("results", ()):
        shares = ", ".join(f"{name} {row[name]:.2f} %" for name in ("top-1", "top-5") if name in row)
        out.print(f"{row['task']}: {shares} of {counted(row['queries'], 'image')}", highlight=False)
        out.print(f"report   {folder / 'report'}", soft_wrap=True)
