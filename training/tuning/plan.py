"""The configuration of a fine-tuning, chosen from the data, the bundle and the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.bundle import Bundle
from models.wording import counted
from training.config.embedder import ExperimentConfig
from training.config.files import load_as, load_config
from training.config.reranker import RerankerExperimentConfig
from training.datasets.dataset import Dataset
from training.datasets.image import DatasetError
from training.datasets.labels import check_labels
from training.datasets.requirements import require_trainable
from training.reranker.lists import Roles
from training.tuning.choices import (
    FEWEST,
    OF_SECOND,
    Choice,
    Facts,
    as_used,
    bundle_choices,
    data_choices,
    reranker_choices,
    spelled,
    training_choices,
    with_warm_up,
)


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        embedder: its configuration.
        reranker: the second stage's; None for a bundle without one.
        choices: what was set, beside the files, with reasons.
        images: to learn from, counted as often as they are seen.
    """

    embedder: ExperimentConfig
    reranker: RerankerExperimentConfig | None
    choices: tuple[Choice, ...]
    images: int


def make_plan(
    dataset: Dataset,
    bundle: Bundle,
    device: str,
    files: tuple[Path, Path],
    changes: Sequence[str] = (),
    reranker_changes: Sequence[str] = (),
) -> Plan:
    """Choose a configuration.

    Args:
        dataset: one's own images.
        bundle: to start from.
        device: cpu or cuda.
        files: the configurations to begin with, of the embedder and of the re-ranker.
        changes: `key=value` each, over what is chosen for the embedder.
        reranker_changes: the same for the re-ranker.

    Raises:
        DatasetError: the data cannot be tuned on, as far as no image need be read.
        ConfigError: a change that does not fit.
    """
    chosen = data_choices(dataset)
    held_back = next((c.value for c in chosen if c.key == "data.validation_vehicles"), 0)
    facts = Facts.of(dataset.train)
    learned = facts.vehicles - held_back
    if learned < 2 or facts.vehicles < FEWEST + 2:
        odd = [f"\n{finding.kind}: {finding.message}" for finding in check_labels(dataset.train)]
        raise DatasetError(
            f"{dataset.root}: has {counted(facts.vehicles, 'vehicle')}; tuning takes {FEWEST + 2} or more, "
            f"of which {FEWEST} are held back to measure on, and 200 are a good number{''.join(odd)}"
        )
    chosen += bundle_choices(bundle, device)
    chosen += training_choices(facts, learned, device)
    embedder = load_config(files[0], [*map(spelled, chosen), *with_warm_up(chosen, changes)])
    if not embedder.data.measured:
        raise DatasetError(
            f"{dataset.root}: tuning measures what it has made, and data.measured is false; "
            "`lka-reid train embedder --config configs/own.yaml --weights BUNDLE/embedder.onnx "
            "--set data.measured=false` trains from a bundle without figures"
        )
    train, tasks = embedder.data.split(dataset)
    require_trainable(dataset.root, train, tasks, embedder.batch.vehicles)
    second = None
    if bundle.manifest.reranker is not None and bundle.manifest.strips is not None:
        of_reranker = reranker_choices(bundle, facts, learned, embedder)
        second = load_as(RerankerExperimentConfig, files[1], [*map(spelled, of_reranker), *reranker_changes])
        Roles.required(dataset.root, train, tasks, second)
        chosen += [Choice(f"{OF_SECOND}{c.key}", c.value, c.why) for c in of_reranker if c.why]
    shown = tuple(as_used(choice, embedder, second) for choice in chosen if choice.why)
    seen = embedder.schedule.epochs * learned * embedder.batch.images
    return Plan(embedder, second, shown, seen)
