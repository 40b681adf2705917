"""PK sampler: batches of P vehicles with K pictures each, as the triplet loss needs them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

from training.dataset import DatasetError, VehicleImage


class PKSampler:
    """Batches of indices: P vehicles x K pictures, every vehicle once an epoch.

    A vehicle's K pictures come from as many cameras as it has. With `by_type`, a batch is filled with
    vehicles of one type as far as there are enough, so that its negatives are hard ones.

    Args:
        images: the training images.
        vehicles: P.
        pictures: K.
        seed: of the epoch's order.
        by_type: group vehicles of a type.

    Raises:
        DatasetError: fewer vehicles than P.
    """

    def __init__(
        self, images: list[VehicleImage], vehicles: int, pictures: int, seed: int, *, by_type: bool = False
    ) -> None:
        self.vehicles = vehicles
        self.pictures = pictures
        self.seed = seed
        self.by_type = by_type
        self._views: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._types: dict[str, str] = {}
        for index, image in enumerate(images):
            self._views[image.vehicle_id][image.camera_id].append(index)
            self._types[image.vehicle_id] = image.vehicle_type
        if len(self._views) < vehicles:
            raise DatasetError(f"P = {vehicles} vehicles a batch, but the set has {len(self._views)}")

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._views) // self.vehicles

    def epoch(self, number: int) -> Iterator[list[int]]:
        """The batches of one epoch, the same for the same seed and number."""
        source = random.Random(f"{self.seed}/{number}")  # noqa: S311
        order = sorted(self._views)
        source.shuffle(order)
        if self.by_type:
            shift = source.randrange(self.vehicles)
            order.sort(key=lambda vehicle: self._types[vehicle])
            order = order[shift:] + order[:shift]
        batches = [order[i * self.vehicles : (i + 1) * self.vehicles] for i in range(len(self))]
        source.shuffle(batches)
        for batch in batches:
            yield [index for vehicle in batch for index in self._pictures(vehicle, source)]

    def _pictures(self, vehicle: str, source: random.Random) -> list[int]:
        cameras = list(self._views[vehicle].values())
        source.shuffle(cameras)
        pools = [source.sample(pool, len(pool)) for pool in cameras]
        chosen: list[int] = []
        while len(chosen) < self.pictures:
            pool = pools[len(chosen) % len(pools)]
            chosen.append(pool[(len(chosen) // len(pools)) % len(pool)])
        return chosen
