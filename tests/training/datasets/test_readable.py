"""An image that does not decode is found before a training begins, wherever it would be met."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from training.datasets.dataset import Task
from training.datasets.image import DatasetError
from training.datasets.layouts import open_dataset
from training.datasets.readable import readable


def parts(tree: Path) -> tuple[list, Task]:  # type: ignore[type-arg]
    images = open_dataset(tree).images()
    return images[:16], Task("validation vehicles", images[16:], images[16:])


def test_a_broken_image_to_measure_on_is_refused_or_left_out(tree: Path) -> None:
    train, task = parts(tree)
    broken = task.queries[0]
    broken.path.write_bytes(broken.path.read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"1 image cannot be read; .*data\.unreadable=skip") as caught:
        readable(tree, train, [task], "refuse")
    assert broken.place() in str(caught.value)
    kept, (measured,), count = readable(tree, train, [task], "skip")
    assert (kept, count) == (train, 1)
    assert measured.gallery is not None
    assert broken not in measured.queries
    assert broken not in measured.gallery
    assert len(measured.queries) == len(task.queries) - 1


def test_what_was_read_whole_is_read_again_only_where_it_has_changed(tree: Path) -> None:
    train, task = parts(tree)
    asked: list[int] = []

    def report(_: int, total: int) -> None:
        asked.append(total)

    readable(tree, train, [task], "refuse", report)
    assert asked[-1] == 24
    asked.clear()
    readable(tree, train, [task], "refuse", report)
    assert not asked
    train[3].path.write_bytes(b"no image")
    os.utime(train[3].path, ns=(1, 1))
    with pytest.raises(DatasetError, match="1 image cannot be read"):
        readable(tree, train, [task], "refuse", report)
    assert asked == [1]
