"""Bringing a bundle of format 1 to format 2: its models stay as they are, byte for byte.

Format 1 had no types for where a model comes from and what was measured of it; three commands wrote three
shapes. What the types of format 2 do not hold stays in the manifest of format 1, which the bundle keeps.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from models.bundle import (
    MANIFEST,
    Bundle,
    BundleError,
    check_files,
    read_bytes,
    require_models,
    validation_failed,
    write_file,
    write_manifest,
)
from models.manifest import (
    BOTH_STAGES,
    FIRST_STAGE,
    Accuracy,
    AccuracyRow,
    DataSource,
    Figures,
    FileEntry,
    Machine,
    Manifest,
    Protocol,
    RerankerTraining,
    Training,
    WeightsSource,
)
from models.superseded import check_same_embedder, fingerprint_of_format_1, superseded_name

OWN_ROWS = {
    "as served": FIRST_STAGE,
    "LKA-ReID, first stage": FIRST_STAGE,
    "LKA-ReID, both stages": BOTH_STAGES,
}
"""What format 1 called the bundle's own rows, where it had other names."""

MOVED = "second stage"

T = TypeVar("T")


@dataclass(frozen=True)
class Migrated:
    """A bundle that was brought over.

    Attributes:
        bundle: as it is now.
        superseded: its fingerprint by format 1.
        left_out: parts of the manifest that had no known shape: they are in the manifest of format 1 alone.
    """

    bundle: Bundle
    superseded: str
    left_out: list[str]


def migrate(folder: Path) -> Migrated:
    """Bring a bundle of format 1 to format 2 in its place.

    The manifest of format 1 is kept beside the new one, which supersedes its fingerprint: galleries stay
    valid. A process that is killed leaves a bundle of one format or the other; run it again.

    Raises:
        BundleError: no bundle of format 1 there, or one that cannot be used.
    """
    path = folder / MANIFEST
    text = read_bytes(path)
    try:
        written = json.loads(text)
    except ValueError as error:
        raise BundleError(f"{path}: is not JSON ({error}); restore it") from None
    if not isinstance(written, dict) or written.get("format") != 1:
        raise BundleError(f"{path}: is not of format 1; there is nothing to migrate")
    old = fingerprint_of_format_1(written)
    left_out: list[str] = []
    try:
        manifest = _converted(path, written, old, left_out)
    except ValidationError as error:
        raise validation_failed(path, error) from None
    check_files(folder, manifest.files)
    kept = folder / superseded_name(old)
    write_file(kept, text)
    manifest = manifest.model_copy(
        update={"files": {**manifest.files, kept.name: FileEntry.of(kept)}, "supersedes": (old,)}
    )
    check_same_embedder(written, old, manifest)
    write_manifest(folder, manifest)
    return Migrated(Bundle.load(folder), old, left_out)


def _converted(path: Path, written: dict[str, Any], old: str, left_out: list[str]) -> Manifest:
    typed = {
        "training": _or_left_out("training", _training, written, left_out),
        "accuracy": _or_left_out("accuracy", _accuracy, written, left_out),
    }
    manifest = Manifest.model_validate({**written, "format": 2, **typed})
    require_models(path, manifest)
    threshold = manifest.threshold
    if threshold is None:
        return manifest
    if threshold.fingerprint != old:
        raise BundleError(
            f"{path}: threshold: was measured with another bundle; remove it, migrate, and run "
            "`lka-reid calibrate` again"
        )
    carried = threshold.model_copy(update={"fingerprint": manifest.fingerprint()})
    return manifest.model_copy(update={"threshold": carried})


def _or_left_out(
    name: str, convert: Callable[[dict[str, Any]], T | None], written: dict[str, Any], left_out: list[str]
) -> T | None:
    try:
        return convert(written)
    except (KeyError, TypeError, AttributeError, ValidationError):
        left_out.append(name)
        return None


def _training(written: dict[str, Any]) -> Training | None:
    old = written["training"]
    if not old:
        return None
    return _of_recipe(old) if "recipe" in old else _of_experiment(old)


def _of_experiment(old: dict[str, Any]) -> Training:
    """As `train embedder` and `train reranker` wrote it; held-out vehicles were not named."""
    weights = old["weights"]
    first = old.get("embedder")
    second = None
    if first is not None:
        second = RerankerTraining(
            configuration=old["configuration"], lists=old["lists"], checkpoint=old["checkpoint"]
        )
    return Training(
        data=DataSource(**old["data"]),
        weights=WeightsSource(**weights) if weights else None,
        seed=old["seed"],
        commands=(old["command"],),
        commit=old["commit"],
        versions=old["versions"],
        machine=Machine(**old["machine"]),
        embedder=old["configuration"] if first is None else first["configuration"],
        reranker=second,
    )


def _of_recipe(old: dict[str, Any]) -> Training:
    """As `export` wrote it for the default bundle, and `exchange-reranker` after it."""
    recipe = old["recipe"]
    second = RerankerTraining(
        configuration={"training" if key == "reranker" else key: recipe[key] for key in _OF_RERANKER}
    )
    commands = tuple(old["commands"])
    exchanged = old.get("second_stage")
    if exchanged is not None:
        second = RerankerTraining(configuration={"shape": exchanged["shape"]}, trained=exchanged["trained"])
        commands = (*commands, exchanged["command"])
    return Training(
        data=DataSource(
            name=old["data"],
            sha256=old["manifest_sha256"],
            sha256_of="manifest file",
            vehicles=old["train_vehicles"],
        ),
        weights=WeightsSource(name=old["initialised_from"], sha256=old["imagenet_sha256"]),
        held_out_vehicles=tuple(old["validation"]),
        seed=old["seed"],
        commands=commands,
        embedder={"network": recipe["network"], **recipe["embedder"]},
        reranker=second,
    )


_OF_RERANKER = ("folds", "views", "head", "shape", "reranker")


def _accuracy(written: dict[str, Any]) -> Accuracy | None:
    old = written["accuracy"]
    results = old.get("results")
    if not results:
        return None
    if isinstance(results, list):
        rows = [_row(row["row"], row["task"], row) for row in results]
        moved = {each["task"]: each for each in written["training"].get("second_stage", ())}
    else:
        # The one data set of that command, and its one task.
        task, moved = "validation vehicles", {"validation vehicles": results.get(MOVED, {})}
        rows = [
            _row(name, task, row, protocol="cross-camera") for name, row in results.items() if name != MOVED
        ]
    rows = [_with_moved(row, moved.get(row.task, {})) if row.name == BOTH_STAGES else row for row in rows]
    return Accuracy(measured_on=old["measured_on"], rows=tuple(rows))


def _with_moved(row: AccuracyRow, moved: dict[str, Any]) -> AccuracyRow:
    return row.model_copy(update={"won": moved.get("won"), "lost": moved.get("lost")})


def _row(name: str, task: str, row: dict[str, Any], protocol: Protocol | None = None) -> AccuracyRow:
    cameras = row.get("by_querying_camera", {})
    return AccuracyRow(
        name=OWN_ROWS.get(name, name),
        task=task,
        protocol="class retrieval" if "Recall@1" in row else protocol,
        gallery=row.get("gallery"),
        by_querying_camera={camera: Figures(**_figures(each)) for camera, each in cameras.items()},
        **_figures(row),
    )


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    """From a flat row: mAP and mINP by name, the CMC curve's ranks as R1 or Recall@1."""
    ranks = {key.removeprefix("Recall@").removeprefix("R"): value for key, value in row.items()}
    cmc = {int(rank): value for rank, value in ranks.items() if rank.isdigit()}
    return {"queries": row["queries"], "mAP": row["mAP"], "cmc": cmc, "mINP": row.get("mINP")}
