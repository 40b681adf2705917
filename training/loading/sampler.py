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
    negatives are hard ones; `by_group` keeps vehicles of one group together. Where there are several
    domains, a batch is of one of them, and an epoch shows as many batches of each as the smallest has.
    An epoch of `images` shows every image about once, as the MBR baseline's does: each vehicle's images
    in random groups of K, left-over ones dropped, too few repeated.

    Args:
        images: the training images.
        vehicles: P.
        per_vehicle: K.
        seed: of the epoch's order.
        by_type: keep vehicles of a type together.
        by_group: keep vehicles of a group together, the groups in random order.
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
        by_group: bool = False,
        epoch: Epoch = "vehicles",
    ) -> None:
        self.vehicles = vehicles
        self.per_vehicle = per_vehicle
        self.seed = seed
        self.by_type = by_type
        self.by_group = by_group
        self._once = epoch
        self._views: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._types: dict[str, str] = {}
        self._groups_of: dict[str, str] = {}
        self._domains: dict[str, list[str]] = defaultdict(list)
        for index, image in enumerate(images):
            self._views[image.vehicle_id][image.camera_id].append(index)
            if image.vehicle_id not in self._types:
                self._domains[image.domain].append(image.vehicle_id)
            self._types[image.vehicle_id] = image.vehicle_type
            self._groups_of[image.vehicle_id] = image.group
        for name, members in self._domains.items():
            if len(members) < vehicles:
                raise DatasetError(
                    f"P = {vehicles} vehicles a batch, but {name or 'the set'} has {len(members)}; "
                    "set batch.vehicles to fewer"
                )
        if len(self._domains) > 1 and epoch == "images":
            raise DatasetError("several data sets are learned from by vehicles; set batch.epoch to vehicles")

    def __len__(self) -> int:
        """Batches an epoch."""
        if self._once == "vehicles":
            smallest = min(map(len, self._domains.values()))
            return len(self._domains) * (smallest // self.vehicles)
        counts = [sum(map(len, cameras.values())) for cameras in self._views.values()]
        return sum(max(1, count // self.per_vehicle) for count in counts) // self.vehicles

    def epoch(self, number: int) -> Iterator[list[int]]:
        """The batches of one epoch, the same for the same seed and number."""
        source = random.Random(f"{self.seed}/{number}")  # noqa: S311
        return self._by_vehicle(source) if self._once == "vehicles" else self._by_image(source)

    def _by_vehicle(self, source: random.Random) -> Iterator[list[int]]:
        batches = []
        for members in self._domains.values():
            order = self._ordered(members, source)
            whole = len(order) // self.vehicles
            drawn = [order[i * self.vehicles : (i + 1) * self.vehicles] for i in range(whole)]
            share = len(self) // len(self._domains)
            batches += drawn if share == whole else source.sample(drawn, share)
        source.shuffle(batches)
        for batch in batches:
            yield [index for vehicle in batch for index in self._images_of(vehicle, source)]

    def _ordered(self, vehicles: list[str], source: random.Random) -> list[str]:
        order = sorted(vehicles)
        source.shuffle(order)
        if self.by_type or self.by_group:
            shift = source.randrange(self.vehicles)
            kinds = {vehicle: self._kind(vehicle) for vehicle in order}
            ranks = sorted(set(kinds.values()))
            if self.by_group:
                source.shuffle(ranks)
            place = {kind: i for i, kind in enumerate(ranks)}
            order.sort(key=lambda vehicle: place[kinds[vehicle]])
            order = order[shift:] + order[:shift]
        return order

    def _kind(self, vehicle: str) -> str:
        """What vehicles that are kept together have in common."""
        group = self._groups_of[vehicle] if self.by_group else ""
        return group or (self._types[vehicle] if self.by_type else vehicle)

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
