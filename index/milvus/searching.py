"""A search of Milvus: candidates by the engine, their order by their stored descriptors.

The engine sums in float32, or walks an approximate index, and breaks ties as it likes. The candidates are
compared again in float64, so that similarities are those of a local gallery and equal ones come in order of
enrollment. With an exact index more candidates are asked for until none that was not fetched can belong
before the k-th.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.errors import DamagedImageError
from index.filter import Filter
from index.milvus.engine import DEEPEST, Engine
from index.milvus.expression import expression
from index.milvus.row import read_strips, strips_name, to_record
from index.milvus.writing import existing
from index.objects import Objects
from index.record import Applied, Found, GalleryHeader, Match
from index.vectors.copies import similarities

MARGIN: Final = 16
"""Candidates beyond k that are compared again."""
MOST_COMPARED: Final = 4_096
"""Candidates that are compared again for the sake of ties: of more copies of one image some are found."""
TOLERANCE: Final = {"float32": 1e-5, "float16": 2e-3}
"""How far a similarity by the engine may be off."""


def search(
    engine: Engine,
    objects: Objects,
    header: GalleryHeader,
    probes: NDArray[np.float32],
    k: int,
    strips: int,
    where: Filter,
) -> list[Found]:
    """The k most similar images for each probe `[B, d]`; see `index.gallery.Gallery.search`."""
    if not len(probes):
        return []
    wanted, admits = min(k + MARGIN, DEEPEST), expression(where)
    while True:
        hits = engine.search(probes, wanted, admits)
        rows = {row["record_id"]: row for of_probe in hits for _, row in of_probe}
        rankings = _ranked(engine, probes, hits)
        if wanted < DEEPEST and not all(
            _is_settled(engine, of_probe, ranking, k, wanted)
            for of_probe, ranking in zip(hits, rankings, strict=True)
        ):
            wanted = min(2 * wanted, DEEPEST)
            continue
        rankings = [ranking[:k] for ranking in rankings]
        first = {record_id for ranking in rankings for record_id, _ in ranking[:strips]}
        its_strips = _strips(engine, objects, header, {i: rows[i] for i in first})
        if its_strips is None:  # one of them was deleted meanwhile
            continue
        searched = None if where.is_all() else engine.count(admits, seen=True)
        records = {i: to_record(rows[i], header.fingerprint) for ranking in rankings for i, _ in ranking}
        return [
            Found(
                (Match(i, records[i], similarity, its_strips.get(i)) for i, similarity in ranking),
                Applied(0, "off"),
                searched,
            )
            for ranking in rankings
        ]


def _ranked(
    engine: Engine, probes: NDArray[np.float32], hits: Sequence[Sequence[tuple[float, Mapping[str, Any]]]]
) -> list[list[tuple[int, float]]]:
    """Numbers and similarities of the candidates of each probe, best first, without those that are gone."""
    of_probes = [{int(row["record_id"]) for _, row in of_probe} for of_probe in hits]
    found: list[list[tuple[int, float]]] = [[] for _ in hits]
    for numbers, descriptors in engine.descriptors(sorted(set().union(*of_probes))):
        for place, candidates in enumerate(of_probes):
            chosen = [at for at, number in enumerate(numbers) if number in candidates]
            if chosen:
                values = similarities(descriptors[chosen], probes[place]).tolist()
                found[place] += zip([numbers[at] for at in chosen], values, strict=True)
    return [sorted(ranking, key=lambda one: (-one[1], one[0])) for ranking in found]


def _is_settled(
    engine: Engine,
    of_probe: Sequence[tuple[float, Mapping[str, Any]]],
    ranking: Sequence[tuple[int, float]],
    k: int,
    wanted: int,
) -> bool:
    """Whether no candidate that was not fetched belongs among the first k."""
    if len(of_probe) < wanted:
        return True
    if len(ranking) < k:
        return False
    if not engine.index.is_exact or wanted >= MOST_COMPARED:
        return True
    return of_probe[-1][0] < ranking[k - 1][1] - TOLERANCE[engine.width]


def _strips(
    engine: Engine, objects: Objects, header: GalleryHeader, rows: Mapping[int, Mapping[str, Any]]
) -> dict[int, NDArray[np.float16]] | None:
    """Strips of these rows that have some, by number; None where a row is gone by now.

    Raises DamagedImageError.
    """
    names = {strips_name(i): i for i, row in rows.items() if row["strips"]}
    read = objects.read_many(list(names))
    missing = [number for name, number in names.items() if name not in read]
    if missing:
        there = existing(engine, missing)
        if there:
            raise DamagedImageError(rows[min(there)]["image_id"], "strips")
        return None
    return {names[name]: read_strips(rows[names[name]], data, header) for name, data in read.items()}
