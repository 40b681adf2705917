from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.datasets.classification import ClassificationData, LabelledImages, open_classification
from training.datasets.image import DatasetError


def records(labels: list[list[int]]) -> bytes:
    """Images as CIFAR stores them: red is the class, green the row, blue the column."""
    rows, columns = np.mgrid[0:32, 0:32].astype(np.uint8)
    return b"".join(
        bytes(of) + np.stack([np.full_like(rows, of[-1]), rows, columns]).tobytes() for of in labels
    )


def write_cifar10(folder: Path) -> Path:
    folder.mkdir()
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(records([[number], [number - 1]]))
    (folder / "test_batch.bin").write_bytes(records([[9]]))
    (folder / "batches.meta.txt").write_text("\n".join(f"class{i}" for i in range(10)) + "\n\n", "utf-8")
    return folder


def test_cifar_10_is_read_from_its_binary_files(tmp_path: Path) -> None:
    data = open_classification(write_cifar10(tmp_path / "cifar-10-batches-bin"))
    assert data.name == "cifar10"
    assert len(data.classes) == 10
    assert data.train.labels.tolist() == [1, 0, 2, 1, 3, 2, 4, 3, 5, 4]
    assert data.test.labels.tolist() == [9]
    assert data.test.pixels[0, 3, 7].tolist() == [9, 3, 7]
    assert data.image_size == (32, 32)


def test_cifar_100_has_its_fine_classes(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(records([[3, 99], [1, 0]]))
    (tmp_path / "test.bin").write_bytes(records([[0, 42]]))
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"c{i}" for i in range(100)), "utf-8")
    data = open_classification(tmp_path)
    assert data.name == "cifar100"
    assert data.train.labels.tolist() == [99, 0]
    assert data.test.pixels[0, 1, 2].tolist() == [42, 1, 2]


def write_tiny(folder: Path) -> Path:
    names = ["n01", "n02"]
    (folder / "wnids.txt").write_text("\n".join(names) + "\n", "utf-8")
    for name, colour in zip(names, (0, 255), strict=True):
        images = folder / "train" / name / "images"
        images.mkdir(parents=True)
        for number in range(2):
            Image.new("L", (64, 64), colour).save(images / f"{name}_{number}.JPEG")
    (folder / "val" / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64), (255, 255, 255)).save(folder / "val" / "images" / "val_0.JPEG")
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn02\t0\t0\t63\t63\n", "utf-8")
    return folder


def test_tiny_imagenet_is_measured_on_its_validation_part(tmp_path: Path) -> None:
    data = open_classification(write_tiny(tmp_path))
    assert data.classes == ("n01", "n02")
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.train.pixels[:, 5, 5, 0].tolist() == [0, 0, 255, 255]
    assert data.test.labels.tolist() == [1]
    assert data.image_size == (64, 64)


def test_a_damaged_tiny_imagenet_names_the_file(tmp_path: Path) -> None:
    (write_tiny(tmp_path) / "val" / "images" / "val_0.JPEG").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"val_0\.JPEG: cannot be read"):
        open_classification(tmp_path)
    annotations = tmp_path / "val" / "val_annotations.txt"
    annotations.write_text("val_0.JPEG\tn77\t0\n", "utf-8")
    with pytest.raises(DatasetError, match=r"val_annotations\.txt, line 1: 'n77' is no class of wnids\.txt"):
        open_classification(tmp_path)


def test_pickled_files_are_refused_with_what_to_take(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x04")
    with pytest.raises(
        DatasetError, match=r"pickled files.*take the binary version, cifar-10-binary\.tar\.gz"
    ):
        open_classification(tmp_path)


def test_a_cut_off_or_incomplete_set_is_named(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path / "cifar")
    (folder / "data_batch_3.bin").write_bytes(records([[1]])[:-1])
    with pytest.raises(DatasetError, match=r"data_batch_3\.bin: 3072 bytes are no whole images of 3073"):
        open_classification(folder)
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DatasetError, match=r"missing: data_batch_3\.bin"):
        open_classification(folder)
    with pytest.raises(DatasetError, match="is of no layout that is known; there are npz, cifar10, cifar100"):
        open_classification(tmp_path)


def test_arrays_of_one_file_are_read_and_pickled_ones_refused(tmp_path: Path) -> None:
    pixels, labels = np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 1, 1])
    parts: dict[str, Any] = {
        "images_train": pixels,
        "labels_train": labels,
        "images_test": pixels,
        "labels_test": labels,
    }
    np.savez(tmp_path / "small.npz", **parts, classes=np.array(["a", "b"]))
    data = open_classification(tmp_path / "small.npz")
    assert data.classes == ("a", "b")
    assert len(data.train) == 3
    np.savez(tmp_path / "bad.npz", **{**parts, "images_train": np.array([{}], dtype=object)})
    with pytest.raises(DatasetError, match=r"bad\.npz: cannot be read"):
        open_classification(tmp_path / "bad.npz")
    np.savez(tmp_path / "less.npz", images_train=pixels)
    with pytest.raises(DatasetError, match="has no labels_train, images_test, labels_test"):
        open_classification(tmp_path / "less.npz")


def test_labels_that_name_no_class_are_an_error() -> None:
    images = LabelledImages(np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 5]))
    with pytest.raises(DatasetError, match="training labels go from 0 to 5, and there are 2 classes"):
        ClassificationData("toy", ("a", "b"), images, images)
