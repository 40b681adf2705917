from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training.config.classifier import ClassifierConfig
from training.datasets.classification import LabelledImages
from training.loading.autoaugment import POLICIES, autoaugment, changed
from training.loading.classification import ClassBatches, prepared

OFF = {"flip": 0, "pad": 0, "policy": "none", "erase": 0, "mix": 0, "label_smoothing": 0}


def images(count: int = 12, side: int = 16) -> LabelledImages:
    source = np.random.default_rng(0)
    pixels = source.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    return LabelledImages(pixels, np.arange(count) % 3)


def batches(**augmentation: Any) -> ClassBatches:
    config = ClassifierConfig.model_validate({"batch": 4, "augmentation": {**OFF, **augmentation}})
    return ClassBatches(images(), 3, config)


def test_without_changes_a_batch_is_the_prepared_images_and_their_classes() -> None:
    made = batches()
    for batch in made.epoch(1):
        expected = prepared(made.images.pixels[batch.positions], made.config.input)
        torch.testing.assert_close(batch.images, expected)
        labels = torch.from_numpy(made.images.labels[batch.positions])
        torch.testing.assert_close(batch.targets, torch.nn.functional.one_hot(labels, 3).float())


def test_an_epoch_shows_every_image_once_and_the_next_one_otherwise() -> None:
    orders = [[p for batch in batches().epoch(number) for p in batch.positions] for number in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(12))
    assert orders[0] != orders[1]


def test_a_resumed_epoch_goes_on_with_the_same_batches() -> None:
    changes = {"flip": 0.5, "pad": 2, "policy": "cifar10", "erase": 0.5, "mix": 1.0}
    whole = list(batches(**changes).epoch(3))
    rest = list(batches(**changes).epoch(3, done=1))
    assert len(rest) == len(whole) - 1
    for found, expected in zip(rest, whole[1:], strict=True):
        torch.testing.assert_close(found.images, expected.images, rtol=0, atol=0)
        torch.testing.assert_close(found.targets, expected.targets, rtol=0, atol=0)


def test_processes_share_a_batch() -> None:
    whole = next(batches(mix=1.0).epoch(1))
    config = batches(mix=1.0).config
    parts = [next(ClassBatches(images(), 3, config, rank=r, world_size=2).epoch(1)) for r in (0, 1)]
    for rank, part in enumerate(parts):
        torch.testing.assert_close(part.images, whole.images[rank::2], rtol=0, atol=0)
        assert part.positions == whole.positions[rank::2]


def test_the_targets_of_a_mixed_image_are_the_shares_of_its_pixels() -> None:
    """Images of one colour a class: the mean colour tells the share."""
    pixels = np.zeros((8, 16, 16, 3), np.uint8)
    labels = np.arange(8) % 2
    pixels[labels == 1] = 255
    config = ClassifierConfig.model_validate({"batch": 8, "augmentation": {**OFF, "mix": 1.0}})
    made = ClassBatches(LabelledImages(pixels, labels), 2, config)
    black, white = (prepared(np.full((1, 1, 1, 3), v, np.uint8), config.input)[0, 0, 0, 0] for v in (0, 255))
    mixed = 0
    for epoch in range(12):
        (batch,) = made.epoch(epoch)
        shares = (batch.images[:, 0].mean(dim=(1, 2)) - black) / (white - black)
        torch.testing.assert_close(shares, batch.targets[:, 1], rtol=0, atol=1e-5)
        torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(8))
        mixed += int(((shares > 0.01) & (shares < 0.99)).any())
    assert mixed > 6


def test_label_smoothing_gives_every_class_its_part() -> None:
    batch = next(batches(label_smoothing=0.3).epoch(1))
    assert sorted(set(batch.targets.flatten().tolist())) == pytest.approx([0.1, 0.8])


def test_erasing_leaves_the_mean_colour_in_a_rectangle() -> None:
    made = batches(erase=1.0)
    for batch in made.epoch(1):
        for image, position in zip(batch.images, batch.positions, strict=True):
            whole = prepared(made.images.pixels[position : position + 1], made.config.input)[0]
            gone = (image == 0).all(dim=0)
            rows, columns = gone.any(dim=1).nonzero(), gone.any(dim=0).nonzero()
            assert int(gone.sum()) == (int(rows.max() - rows.min()) + 1) * (
                int(columns.max() - columns.min()) + 1
            )
            assert 0 < float(gone.float().mean()) <= 0.45
            torch.testing.assert_close(image[:, ~gone], whole[:, ~gone])


@pytest.mark.parametrize("policy", POLICIES)
def test_autoaugment_has_25_pairs_and_changes_most_images(policy: Any) -> None:
    assert len(POLICIES[policy]) == 25
    source = np.random.default_rng(0)
    pixels = images(1, 32).pixels[0]
    results = [autoaugment(pixels, policy, source) for _ in range(60)]
    assert all(r.shape == pixels.shape and r.dtype == np.uint8 for r in results)
    assert sum(not np.array_equal(r, pixels) for r in results) > 30


def test_operations_do_what_they_are_called() -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[8:12, 8:12] = 200
    image = Image.fromarray(pixels)
    right = np.asarray(changed(image, "translate_x", 9, -1))
    down = np.asarray(changed(image, "translate_y", 9, -1))
    assert right[10, 0, 0] == 128  # grey comes in
    assert (right[10, 17:20, 0] > 150).any()
    assert (down[17:20, 10, 0] > 150).any()
    assert np.asarray(changed(image, "invert", 0, 1))[0, 0, 0] == 255
    assert np.asarray(changed(image, "brightness", 9, -1))[10, 10, 0] == 20
    assert np.asarray(changed(image, "posterize", 9, 1))[10, 10, 0] == 192
    assert np.asarray(changed(image, "solarize", 9, 1))[10, 10, 0] == 55
    assert np.array_equal(np.asarray(changed(image, "rotate", 0, 1)), pixels)
    sheared = np.asarray(changed(image, "shear_x", 9, 1))
    assert sheared[10, 10, 0] == 200
    assert not np.array_equal(sheared, pixels)
