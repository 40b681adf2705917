from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.conftest import pretend
from training.datasets.image import DatasetError, VehicleImage
from training.loading.sampler import PKSampler


def test_a_batch_is_p_vehicles_with_k_images_from_different_cameras() -> None:
    images = pretend(10, cameras=3)
    for batch in PKSampler(images, 4, 2, seed=0).epoch(1):
        vehicles = [images[i].vehicle_id for i in batch]
        assert len(set(vehicles)) == 4
        assert all(vehicles.count(v) == 2 for v in vehicles)
        for first, second in zip(batch[::2], batch[1::2], strict=True):
            assert images[first].camera_id != images[second].camera_id


def test_no_vehicle_comes_twice_in_an_epoch() -> None:
    images = pretend(11)
    sampler = PKSampler(images, 3, 2, seed=0)
    seen = [images[i].vehicle_id for batch in sampler.epoch(1) for i in batch[::2]]
    assert len(seen) == len(set(seen)) == 3 * len(sampler) == 9


def test_a_vehicle_with_too_few_images_repeats_them() -> None:
    images = pretend(3, cameras=1)
    batch = next(PKSampler(images, 3, 4, seed=0).epoch(1))
    assert len(batch) == 12


def test_epochs_differ_and_repeat_under_the_same_seed() -> None:
    images = pretend(12)
    first, again, other = (PKSampler(images, 4, 2, seed=s) for s in (0, 0, 1))
    assert list(first.epoch(1)) == list(again.epoch(1))
    assert list(first.epoch(1)) != list(first.epoch(2))
    assert list(first.epoch(1)) != list(other.epoch(1))


def test_batches_by_type_hold_one_type_where_there_are_enough() -> None:
    images = pretend(40, kinds=2)
    pure = sum(
        len({images[i].vehicle_type for i in batch}) == 1
        for batch in PKSampler(images, 4, 2, seed=0, by_type=True).epoch(1)
    )
    assert pure >= 8


def test_too_few_vehicles_for_a_batch_is_an_error() -> None:
    with pytest.raises(DatasetError, match="P = 4 vehicles a batch, but the set has 3"):
        PKSampler(pretend(3), 4, 2, seed=0)


def uneven() -> list[VehicleImage]:
    """Vehicles with 1, 2, ... 12 images."""
    return [
        VehicleImage(Path(f"{v}_{i}.jpg"), f"v{v:02}", f"c{i % 3}") for v in range(1, 13) for i in range(v)
    ]


def test_an_epoch_of_images_shows_every_image_about_once() -> None:
    images = uneven()
    sampler = PKSampler(images, 4, 3, seed=0, epoch="images")
    batches = list(sampler.epoch(1))
    # Whole groups of three images, at least one a vehicle: 1+1+1+1+1+2+2+2+3+3+3+4 = 24.
    assert len(batches) == len(sampler) == 24 // 4
    for batch in batches:
        vehicles = [images[i].vehicle_id for i in batch]
        assert len(set(vehicles)) == 4
        assert all(vehicles[i] == vehicles[i + 1] == vehicles[i + 2] for i in range(0, 12, 3))
    shown = Counter(index for batch in batches for index in batch)
    plenty = {index for index, image in enumerate(images) if int(image.vehicle_id[1:]) >= 3}
    assert sum(1 for index in plenty if shown[index] == 1) >= 0.6 * len(plenty)


def test_epochs_of_images_differ_and_repeat_under_the_same_seed() -> None:
    first, again, other = (PKSampler(uneven(), 4, 2, seed=s, epoch="images") for s in (0, 0, 1))
    assert list(first.epoch(1)) == list(again.epoch(1))
    assert list(first.epoch(1)) != list(first.epoch(2))
    assert list(first.epoch(1)) != list(other.epoch(1))


def test_one_vehicle_with_most_of_the_images_is_in_a_batch_once() -> None:
    images = [VehicleImage(Path(f"{i}.jpg"), "many" if i >= 4 else f"v{i}", "c1") for i in range(40)]
    for batch in PKSampler(images, 3, 2, seed=0, epoch="images").epoch(1):
        assert len({images[i].vehicle_id for i in batch}) == 3


def two_domains() -> list[VehicleImage]:
    """Eleven real vehicles, and thirty of another domain in groups of three."""
    other = [
        replace(image, vehicle_id=f"r/{image.vehicle_id}", domain="rendered", group=f"g{i // 6}")
        for i, image in enumerate(pretend(30))
    ]
    return [*pretend(11), *other]


def test_a_batch_is_of_one_domain_and_each_domain_has_as_many_batches_as_the_smallest() -> None:
    images = two_domains()
    sampler = PKSampler(images, 4, 2, seed=0)
    domains = []
    for batch in sampler.epoch(1):
        (domain,) = {images[i].domain for i in batch}
        domains.append(domain)
    assert len(domains) == len(sampler)
    assert Counter(domains) == {"": 2, "rendered": 2}


def test_every_vehicle_of_the_larger_domain_comes_up_in_some_epoch() -> None:
    images = two_domains()
    sampler = PKSampler(images, 4, 2, seed=0)
    seen = {images[i].vehicle_id for number in range(40) for batch in sampler.epoch(number) for i in batch}
    assert seen == {image.vehicle_id for image in images}


def test_batches_by_group_keep_vehicles_of_a_group_together() -> None:
    images = [image for image in two_domains() if image.domain]
    batches = list(PKSampler(images, 3, 2, seed=0, by_group=True).epoch(1))
    groups = [len({images[i].group for i in batch}) for batch in batches]
    assert max(groups) <= 2


def test_a_domain_too_small_for_a_batch_is_named() -> None:
    with pytest.raises(DatasetError, match="P = 12 vehicles a batch, but the set has 11"):
        PKSampler(two_domains(), 12, 2, seed=0)


def test_several_domains_are_not_shown_image_by_image() -> None:
    with pytest.raises(DatasetError, match=r"set batch\.epoch to vehicles"):
        PKSampler(two_domains(), 4, 2, seed=0, epoch="images")
