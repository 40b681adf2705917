from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from tests.training.small import training
from training.datasets.readers.manifest import read_manifest
from training.loading.loader import Batches


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_to_the_whole_group_leaves_the_batches_to_the_parent(
    tree: Path, number: signal.Signals
) -> None:
    images = read_manifest(tree)
    expected = list(Batches.of(images, training(), (32, 32)).epoch(1))
    batches = Batches.of(images, training(run={"workers": 1}), (32, 32))
    others = set(multiprocessing.active_children())
    found = []
    for batch in batches.epoch(1):
        found.append(batch)
        for child in set(multiprocessing.active_children()) - others:
            assert child.pid is not None
            os.kill(child.pid, number)
    assert len(found) == len(expected) > 1
    assert all(torch.equal(one.images, other.images) for one, other in zip(found, expected, strict=True))


def test_the_processes_end_with_the_batches(tree: Path) -> None:
    others = set(multiprocessing.active_children())
    batches = Batches.of(read_manifest(tree), training(run={"workers": 1}), (32, 32))
    assert sum(1 for _ in batches.epoch(1)) > 1
    assert len(multiprocessing.active_children()) == len(others) + 1
    del batches
    assert set(multiprocessing.active_children()) == others
