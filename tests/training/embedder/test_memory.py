"""Cluster contrast: a memory of centres that follows what is learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.training.small import Diary, small_network, training
from training.checkpoints.resume import Checkpoints
from training.datasets.readers.manifest import read_manifest
from training.embedder.memory import ClusterMemory
from training.embedder.trainer import Trainer
from training.signals import StoppedError


def start() -> np.ndarray:
    return np.eye(6, dtype=np.float32)


LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def test_the_contrast_is_cross_entropy_over_all_centres_and_reaches_the_descriptors() -> None:
    memory = ClusterMemory(start(), LABELS, 0.5, 0.1)
    assert torch.allclose(memory.centres[0], torch.tensor([0.5**0.5, 0.5**0.5, 0, 0, 0, 0]))
    descriptors = F.normalize(torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    descriptors.requires_grad_()
    wanted = F.cross_entropy(descriptors @ memory.centres.T.clone() / 0.1, torch.tensor([0, 2]))
    found = memory.contrast(descriptors, torch.tensor([0, 2]))
    assert found.item() == pytest.approx(wanted.item())
    found.backward()
    assert descriptors.grad is not None
    assert descriptors.grad.abs().sum() > 0


def test_centres_follow_their_images_and_those_alone() -> None:
    memory = ClusterMemory(start(), LABELS, 0.5, 0.1)
    before = memory.centres.clone()
    one, other = torch.eye(6)[1], torch.eye(6)[5]
    memory.contrast(torch.stack([one, other]), torch.tensor([0, 0]))
    mean = F.normalize(one + other, dim=0)
    assert torch.allclose(memory.centres[0], F.normalize(0.5 * before[0] + 0.5 * mean, dim=0))
    assert torch.equal(memory.centres[1:], before[1:])


@pytest.mark.slow
def test_a_training_by_clusters_alone_is_resumed_with_its_centres(tree: Path, tmp_path: Path) -> None:
    images = read_manifest(tree)
    config = training(losses={"cross_entropy": 0, "triplet": 0, "clusters": 1.0}, schedule={"epochs": 2})
    made = np.random.default_rng(0).normal(size=(len(images), 4 * small_network().config.features))
    first = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    def begun(diary: Diary, folder: Path | None = None) -> Trainer:
        kept = Checkpoints(folder, {}) if folder else None
        return Trainer(
            small_network(), images, config, start=first, checkpoints=kept, observers=[diary], stop=diary.stop
        )

    straight = Diary()
    expected = begun(straight)
    expected.run()
    with pytest.raises(StoppedError):
        begun(Diary(stop_after=4), tmp_path / "run").run()
    rest = Diary()
    found = begun(rest, tmp_path / "run")
    found.run()
    assert set(straight.losses()[0]) == {"clusters"}
    assert rest.losses() == straight.losses()[4:]
    assert expected.memory is not None
    assert found.memory is not None
    assert torch.equal(found.memory.centres, expected.memory.centres)
    with pytest.raises(ValueError, match="need the descriptors of the start"):
        Trainer(small_network(), images, config)
