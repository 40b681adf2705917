from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.small import training
from training.datasets.image import DatasetError
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


FAILS = """
import sys
from pathlib import Path
from tests.training.small import training
from training.datasets.readers.manifest import read_manifest
from training.loading.loader import Batches

batches = Batches.of(read_manifest(Path(sys.argv[1])), training(run={"workers": 1}), (32, 32))
for batch in batches.epoch(1):
    raise FloatingPointError("the loss is nan")
"""


@pytest.mark.slow
def test_a_program_that_fails_inside_an_epoch_ends_with_its_processes(tree: Path) -> None:
    command = [sys.executable, "-c", FAILS, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "the loss is nan" in done.stderr


@pytest.mark.parametrize("workers", [0, 1])
def test_the_next_epoch_is_prepared_before_this_one_ends_and_none_after_the_last(
    tree: Path, workers: int
) -> None:
    images, config = read_manifest(tree), training(run={"workers": workers}, schedule={"epochs": 2})
    batches = Batches.of(images, config, (32, 32))
    first = list(batches.epoch(1))
    ahead = list(batches._plan.asked)
    second = list(batches.epoch(2))
    assert [[position for position, _ in batch] for batch in ahead] == [
        batch.positions for batch in second[: len(ahead)]
    ]
    assert ahead
    assert not batches._plan.asked
    assert len(list(batches.epoch(1, alone=True))) == len(first)
    assert not batches._plan.asked
    for number, found in enumerate((first, second), 1):
        expected = list(Batches.of(images, training(), (32, 32)).epoch(number))
        assert all(torch.equal(a.images, b.images) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_begun_anew_or_inside_or_beyond_the_last_has_its_own_batches(
    tree: Path, workers: int
) -> None:
    images, config = read_manifest(tree), training(run={"workers": workers}, schedule={"epochs": 3})
    batches = Batches.of(images, config, (32, 32))

    def check(number: int, done: int = 0, most: int = 100) -> None:
        expected = list(Batches.of(images, training(), (32, 32)).epoch(number))[done : done + most]
        found = [batch for batch, _ in zip(batches.epoch(number, done), range(most), strict=False)]
        assert [batch.positions for batch in found] == [batch.positions for batch in expected]
        assert all(torch.equal(a.images, b.images) for a, b in zip(found, expected, strict=True))

    check(1)
    check(1, most=2)  # anew, and left inside
    check(1, done=2)
    check(3, done=1)
    check(4)
    check(2)
    check(7)
    check(8)


def test_batches_go_on_after_an_image_that_could_not_be_read(tree: Path) -> None:
    images = read_manifest(tree)
    batches = Batches.of(images, training(), (32, 32))
    path = images[0].path
    kept = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match=path.name):
        list(batches.epoch(1))
    path.write_bytes(kept)
    expected = list(Batches.of(images, training(), (32, 32)).epoch(1))
    assert [batch.positions for batch in batches.epoch(1)] == [batch.positions for batch in expected]
