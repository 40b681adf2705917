"""PK sampler: batches of P vehicles with K images each, as the triplet loss needs them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

from training.datasets.image import DatasetError, VehicleImage

Epoch = Literal["vehicles", "images"]


class PKSampler:
    """Batches of indices: P vehicles x K images.

    An epoch of `vehicles` shows every vehicle once, its K images from as many cameras as it has; with
    `by_type`, a batch is filled with vehicles of one type as far as there are enough, so that its
    negatives are hard ones. An epoch of `images` shows every image about once, as the MBR baseline's
    does: each vehicle's images in random groups of K, left-over ones dropped, too few repeated.

    Args:
        images: the training images.
        vehicles: P.
        per_vehicle: K.
        seed: of the epoch's order.
        by_type: group vehicles of a type.
        epoch: what an epoch shows once.

    Raises:
        DatasetError: fewer vehicles than P.
    """

    def __init__(
        self,
        images: list[VehicleImage],
        vehicles: int,
        per_vehicle: int,
        seed: int,
        *,
        by_type: bool = False,
        epoch: Epoch = "vehicles",
    ) -> None:
        self.vehicles = vehicles
        self.per_vehicle = per_vehicle
        self.seed = seed
        self.by_type = by_type
        self._once = epoch
        self._views: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._types: dict[str, str] = {}
        for index, image in enumerate(images):
            self._views[image.vehicle_id][image.camera_id].append(index)
            self._types[image.vehicle_id] = image.vehicle_type
        if len(self._views) < vehicles:
            raise DatasetError(
                f"P = {vehicles} vehicles a batch, but the set has {len(self._views)}; "
                "set batch.vehicles to fewer"
            )

    def __len__(self) -> int:
        """Batches an epoch."""
        if self._once == "vehicles":
            return len(self._views) // self.vehicles
        counts = [sum(map(len, cameras.values())) for cameras in self._views.values()]
        return sum(max(1, count // self.per_vehicle) for count in counts) // self.vehicles

    def epoch(self, number: int) -> Iterator[list[int]]:
        """The batches of one epoch, the same for the same seed and number."""
        source = random.Random(f"{self.seed}/{number}")  # noqa: S311
        return self._by_vehicle(source) if self._once == "vehicles" else self._by_image(source)

    def _by_vehicle(self, source: random.Random) -> Iterator[list[int]]:
        order = sorted(self._views)
        source.shuffle(order)
        if self.by_type:
            shift = source.randrange(self.vehicles)
            order.sort(key=lambda vehicle: self._types[vehicle])
            order = order[shift:] + order[:shift]
        batches = [order[i * self.vehicles : (i + 1) * self.vehicles] for i in range(len(self))]
        source.shuffle(batches)
        for batch in batches:
            yield [index for vehicle in batch for index in self._images_of(vehicle, source)]

    def _images_of(self, vehicle: str, source: random.Random) -> list[int]:
        cameras = list(self._views[vehicle].values())
        source.shuffle(cameras)
        pools = [source.sample(pool, len(pool)) for pool in cameras]
        chosen: list[int] = []
        while len(chosen) < self.per_vehicle:
            pool = pools[len(chosen) % len(pools)]
            chosen.append(pool[(len(chosen) // len(pools)) % len(pool)])
        return chosen

    def _by_image(self, source: random.Random) -> Iterator[list[int]]:
        vehicles = sorted(self._views)
        groups = {vehicle: self._groups(vehicle, source) for vehicle in vehicles}
        waiting = list(vehicles)
        for _ in range(len(self)):
            chosen = []
            for _ in range(min(self.vehicles, len(waiting))):
                # Taking the last one's place keeps this quick with many thousands of vehicles.
                place = source.randrange(len(waiting))
                waiting[place], waiting[-1] = waiting[-1], waiting[place]
                chosen.append(waiting.pop())
            if len(chosen) < self.vehicles:
                others = sorted(set(vehicles) - set(chosen))
                chosen += source.sample(others, self.vehicles - len(chosen))
            batch = []
            for vehicle in chosen:
                if not groups[vehicle]:
                    groups[vehicle] = self._groups(vehicle, source)[:1]
                batch += groups[vehicle].pop()
            waiting += [vehicle for vehicle in chosen if groups[vehicle]]
            yield batch

    def _groups(self, vehicle: str, source: random.Random) -> list[list[int]]:
        pool = [index for camera in self._views[vehicle].values() for index in camera]
        source.shuffle(pool)
        if len(pool) < self.per_vehicle:
            return [[pool[i % len(pool)] for i in range(self.per_vehicle)]]
        whole = len(pool) // self.per_vehicle
        return [pool[i * self.per_vehicle : (i + 1) * self.per_vehicle] for i in range(whole)]
