"""A search: matches by the vector index, their records and strips by the database, as of one moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.filter import Filter
from index.local.mirror import Mirror
from index.record import Applied, Found, Match, Record
from index.vectors.ranking import Ranking


def search(
    mirror: Mirror,
    descriptors: NDArray[np.float32],
    cameras: Sequence[str | None],
    k: int,
    strips: int,
    where: Filter,
) -> list[Found]:
    """The k most similar images for each probe among those that the filter lets through, best first, exactly.

    Args:
        mirror: the index and the database behind it.
        descriptors: float32 `[B, d]`, of the probes.
        cameras: B of them, None where a probe's is not known.
        k: matches of a probe at most.
        strips: so many of a probe's first matches come with theirs.
        where: what is searched.
    """
    wanted = k
    while True:
        among = None if where.is_all() else _let_through(mirror, where)
        rankings, normalisation = mirror.rank(descriptors, cameras, wanted, among)
        with mirror.store.moment() as moment:
            records = moment.records({int(i) for ranking in rankings for i in ranking.ids})
            # A record may have been changed since its id was let through.
            records = {i: record for i, record in records.items() if where.admits(record)}
            found = [_enrolled(ranking, records, k) for ranking in rankings]
            # Records deleted or changed since the ranking are missing: look further down, if there is more.
            if all(
                len(matches) == k or len(ranking.ids) < wanted
                for matches, ranking in zip(found, rankings, strict=True)
            ):
                its_strips = moment.strips({i for matches in found for i, _ in matches[:strips]})
                return [
                    Found(
                        (Match(i, records[i], similarity, its_strips.get(i)) for i, similarity in matches),
                        Applied(normalisation.version, normalisation.use(camera)),
                        None if among is None else len(among),
                    )
                    for matches, camera in zip(found, cameras, strict=True)
                ]
        wanted = 2 * wanted


def _let_through(mirror: Mirror, where: Filter) -> NDArray[np.int64]:
    """Ids [n], ascending. The moment ends before the search: who closes a gallery waits for both."""
    with mirror.store.moment() as moment:
        return moment.ids(where)


def _enrolled(ranking: Ranking, records: dict[int, Record], k: int) -> list[tuple[int, float]]:
    """Ids and similarities of the first k that are among the records."""
    found = zip(ranking.ids.tolist(), ranking.similarities.tolist(), strict=True)
    return [(i, similarity) for i, similarity in found if i in records][:k]
