"""Matches in their final places: what verdicts and the second stage make of those that were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from index import Applied, Found, Match, Verdict


@dataclass(frozen=True)
class Ranked:
    """A match in its final place.

    Attributes:
        match: record and first-stage similarity.
        first_stage_rank: 1 is best.
        rerank_distance: the second stage's distance, less is nearer; None where it did not look.
    """

    match: Match
    first_stage_rank: int
    rerank_distance: float | None


@dataclass(frozen=True)
class Ranking:
    """What a query found.

    Attributes:
        matches: best first.
        reranked: whether the second stage scored any of them.
        gallery_size: images enrolled.
        searched: those that the filter let through; None without conditions.
        normalisation: what made the descriptors that were compared.
        probe: SHA-256 of the probe's file, in hex: what verdicts on it are kept under.
        verdicts: on the probe, those that were respected; also of images that are not among the matches.
        seconds: stage -> s.
    """

    matches: list[Ranked]
    reranked: bool
    gallery_size: int
    searched: int | None
    normalisation: Applied
    probe: str
    verdicts: tuple[Verdict, ...]
    seconds: dict[str, float]


class Judged:
    """A probe's verdicts, and what they make of its matches."""

    def __init__(self, digest: str, verdicts: tuple[Verdict, ...]) -> None:
        self._digest = digest
        self._verdicts = verdicts
        self._ruled_out = {verdict.record_id for verdict in verdicts if verdict.kind == "different"}
        self._confirmed = {verdict.record_id for verdict in verdicts if verdict.kind == "same"}

    @property
    def spare(self) -> int:
        """Matches that may have to be left out."""
        return len(self._ruled_out)

    def left(self, found: Found) -> list[Match]:
        """The matches that are not left out."""
        return [match for match in found if match.record_id not in self._ruled_out]

    def ranking(
        self, found: Found, scores: Sequence[float], candidates: int, top_k: int, size: int
    ) -> Ranking:
        """The matches in their final places; `scores` are of the first `candidates` that have strips."""
        left = self.left(found)
        distances = _placed(left[:candidates], scores)
        # Sorting keeps the order of those that are alike.
        ranked = sorted(
            order_matches(left, distances), key=lambda each: each.match.record_id not in self._confirmed
        )
        return Ranking(
            ranked[:top_k],
            reranked=bool(scores),
            gallery_size=size,
            searched=found.searched,
            normalisation=found.normalisation,
            probe=self._digest,
            verdicts=self._verdicts,
            seconds={},
        )


def order_matches(found: Sequence[Match], distances: Sequence[float | None]) -> list[Ranked]:
    """Re-order the first `len(distances)` matches by ascending distance and leave the others where they are.

    A match whose distance is None keeps its place; equal distances keep the first stage's order.
    """
    scored = [place for place, distance in enumerate(distances) if distance is not None]
    order = list(range(len(found)))
    for place, source in zip(scored, sorted(scored, key=lambda place: distances[place] or 0.0), strict=True):
        order[place] = source
    return [
        Ranked(found[source], source + 1, distances[source] if source < len(distances) else None)
        for source in order
    ]


def _placed(candidates: Sequence[Match], scores: Sequence[float]) -> list[float | None]:
    """The second stage's distance of each candidate; None for one without strips."""
    if not scores:
        return [None] * len(candidates)
    left = iter(scores)
    return [None if match.strips is None else next(left) for match in candidates]
