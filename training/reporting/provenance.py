"""Where figures come from: commit, versions, machine, data and weights, to be kept with them."""

from __future__ import annotations

import hashlib
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from models.machine import processor, source_commit
from models.manifest import (
    Accuracy,
    AccuracyRow,
    DataSource,
    Machine,
    RerankerTraining,
    Training,
    WeightsSource,
    hash_file,
)
from training.datasets.image import VehicleImage


def title_of(name: str, data: str) -> str:
    """What stands above plots and sheets: the name of the run or bundle, its data and the day."""
    return f"{name} on {data}, {datetime.now(UTC).date().isoformat()}"


def data_hash(images: Sequence[VehicleImage]) -> str:
    """SHA-256 of what is known of the images (not of their pixels), whatever their order and folder."""
    lines = sorted(
        "\t".join((i.path.name, i.vehicle_id, i.camera_id, i.view, i.vehicle_type)) for i in images
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def sources_of(
    data: Path, images: Sequence[VehicleImage], weights: Path | None, further: Path | None = None
) -> dict[str, Any]:
    """Data and weights of a run, by name and hash.

    Args:
        data: the data set.
        images: what is learned from, of both data sets.
        weights: that the run starts from.
        further: a second data set.
    """
    names = [data.stem, *([further.stem] if further is not None else [])]
    return {
        "data": {
            "name": " + ".join(names),
            "images": len(images),
            "vehicles": len({image.vehicle_id for image in images}),
            "sha256": data_hash(images),
        },
        "weights": {"name": weights.name, "sha256": hash_file(weights)} if weights is not None else None,
    }


def command(words: Sequence[str]) -> str:
    """The command line as it is kept with figures, without the folders of this machine."""

    def shown(word: str) -> str:
        name, equals, value = word.partition("=")
        if value.startswith("/"):
            return f"{name}{equals}{Path(value).name}"
        return Path(word).name if word.startswith("/") else word

    return shlex.join(["lka-reid", *map(shown, words)])


def environment(device: torch.device) -> dict[str, Any]:
    """Commit, versions and machine."""
    try:
        ours = version("lka-reid")
    except PackageNotFoundError:
        ours = "not installed"
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "commit": source_commit(),
        "versions": {"lka-reid": ours, "torch": torch.__version__, "python": platform.python_version()},
        "machine": {
            "system": platform.platform(),
            "device": gpu or processor(),
            "threads": torch.get_num_threads(),
        },
    }


def training_record(
    metrics: dict[str, Any],
    held_out: Sequence[VehicleImage],
    embedder: dict[str, Any],
    reranker: RerankerTraining | None = None,
    before: str = "",
) -> Training:
    """Where a model comes from, for its bundle's manifest.

    Args:
        metrics: of a run's report, with what `sources_of` and `environment` say.
        held_out: images that are measured on.
        embedder: the first stage's configuration.
        reranker: where the second stage comes from, or None.
        before: the command of an earlier run that this one has used.
    """
    weights = metrics["weights"]
    commands = dict.fromkeys(command for command in (before, metrics["command"]) if command)
    return Training(
        data=DataSource(**metrics["data"]),
        weights=WeightsSource(**weights) if weights is not None else None,
        held_out_vehicles=tuple(sorted({image.vehicle_id for image in held_out})),
        seed=metrics["seed"],
        commands=tuple(commands),
        commit=metrics["commit"],
        versions=metrics["versions"],
        machine=Machine(**metrics["machine"]),
        embedder=embedder,
        reranker=reranker,
    )


def accuracy_record(rows: Sequence[AccuracyRow]) -> Accuracy | None:
    """What was measured, for a bundle's manifest; None where nothing was."""
    if not rows:
        return None
    return Accuracy(measured_on=", ".join(dict.fromkeys(row.task for row in rows)), rows=tuple(rows))
