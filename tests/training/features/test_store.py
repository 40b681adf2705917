"""Features on disk: what is read is what was written, and anything else is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.datasets.image import VehicleImage
from training.features.extract import Features
from training.features.store import FeatureStoreError, features_exist, open_features, save_features


def _features(count: int = 5, strips: bool = True) -> Features:
    source = np.random.default_rng(0)
    images = [VehicleImage(Path(f"{i}.jpg"), f"v{i}", "c1", "car") for i in range(count)]
    tokens = source.normal(size=(count, 4, 8)).astype(np.float16).astype(np.float32) if strips else None
    return Features(images, source.normal(size=(count, 16)).astype(np.float32), tokens)


@pytest.mark.parametrize("strips", [True, False])
def test_what_is_read_is_what_was_written_and_stays_on_disk(tmp_path: Path, strips: bool) -> None:
    written = _features(strips=strips)
    save_features(tmp_path / "fold-0", written, {"embedder": "abc"})
    read = open_features(tmp_path / "fold-0", {"embedder": "abc"})
    assert read.images == written.images
    assert isinstance(read.descriptors, np.memmap)
    np.testing.assert_array_equal(read.descriptors, written.descriptors)
    if written.strips is None:
        assert read.strips is None
    else:
        np.testing.assert_array_equal(read.strips, written.strips)


def test_features_of_another_embedder_are_refused(tmp_path: Path) -> None:
    save_features(tmp_path, _features(), {"embedder": "abc"})
    with pytest.raises(FeatureStoreError, match="another embedder"):
        open_features(tmp_path, {"embedder": "other"})


def test_features_that_were_broken_off_do_not_count_as_there(tmp_path: Path) -> None:
    save_features(tmp_path, _features(), {})
    (tmp_path / "images.json").unlink()
    assert not features_exist(tmp_path)
    with pytest.raises(FeatureStoreError, match=r"images\.json is missing"):
        open_features(tmp_path)


def test_a_cut_file_is_called_damaged(tmp_path: Path) -> None:
    save_features(tmp_path, _features(), {})
    path = tmp_path / "descriptors.npy"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FeatureStoreError, match="damaged"):
        open_features(tmp_path)
