"""The similarity threshold for a wanted false-match rate, from pairs of images of different cameras.

A false match is a pair of different vehicles at or above the threshold. The rate is counted over all
unordered pairs from different cameras. Pairs share vehicles and so are not independent: the sampling error
comes from leaving out one vehicle after the other (jackknife), which gives the number of independent pairs
that would be as good; Wilson's interval is taken with that number (after Korn and Graubard's interval for
surveys).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.retrieval import WORKSPACE, Side, similarity_chunks

BINS = 2_000_000
DECIMALS = 6
COUNTED = 2**22
MIN_FALSE_MATCHES = 30
"""Doddington's rule of 30: with 30 errors the true rate is nine times in ten within 30 % of the measured."""
NORMAL_95 = 1.959964

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class CalibrationError(Exception):
    """A threshold that these pairs cannot give; the message says what they could give."""


@dataclass(frozen=True)
class Curves:
    """How similar pairs are: counts in bins of equal width from -1 to 1.

    Attributes:
        same: pairs of one vehicle, `[BINS]`.
        different: pairs of two vehicles, `[BINS]`.
    """

    same: Counts
    different: Counts

    @property
    def edges(self) -> NDArray[np.float64]:
        """The bins' lower edges, which are the thresholds, `[BINS]`."""
        return edge(np.arange(BINS))

    def match_rates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False- and true-match rate at each threshold, `[BINS]` each."""
        return _at_or_above(self.different), _at_or_above(self.same)


@dataclass(frozen=True)
class Calibration:
    """A threshold and how sure it is.

    Attributes:
        similarity: pairs at or above it are a match.
        wanted: the false-match rate that was asked for.
        false_match_rate: counted at the threshold.
        false_match_interval: 95 % for the true rate.
        similarity_interval: thresholds at the ends of the interval around the wanted rate, low and high.
        true_match_rate: share of the pairs of one vehicle that match.
        negative_pairs: pairs of two vehicles.
        effective_pairs: independent pairs that would be as good.
        positive_pairs: pairs of one vehicle.
    """

    similarity: float
    wanted: float
    false_match_rate: float
    false_match_interval: tuple[float, float]
    similarity_interval: tuple[float, float]
    true_match_rate: float
    negative_pairs: int
    effective_pairs: float
    positive_pairs: int


def edge(bins: NDArray[np.integer]) -> NDArray[np.float64]:
    """Lower edges of bins, a millionth apart."""
    return np.round(2 * bins / BINS - 1, DECIMALS)


def calibrate(
    images: Side,
    false_match_rate: float,
    *,
    workspace: int = WORKSPACE,
    report: Callable[[int], None] = lambda _: None,
) -> tuple[Calibration, Curves]:
    """Find the lowest threshold whose false-match rate is at most the wanted one.

    Args:
        images: N of them; every unordered pair from different cameras counts once.
        false_match_rate: between 0 and 1.
        workspace: bytes to work in besides the descriptors.
        report: called with the number of images done, of 2 N.

    Raises:
        CalibrationError: fewer pairs of two vehicles than would give 30 false matches at that rate, no pair
            of one vehicle, or more pairs at similarity 1 than the rate allows.
        ValueError: the rate is not between 0 and 1, or a descriptor is not finite.
    """
    if not 0 < false_match_rate < 1:
        raise ValueError(f"the false-match rate is {false_match_rate}; it must be between 0 and 1")
    curves = count_pairs(images, workspace=workspace, report=report)
    negative, positive = int(curves.different.sum()), int(curves.same.sum())
    _refuse_too_few(negative, positive, false_match_rate)
    false_rates, _ = curves.match_rates()
    if false_rates[-1] > false_match_rate:
        raise CalibrationError(
            f"{false_rates[-1]:.2g} of the pairs of two vehicles have similarity 1: no threshold gives a "
            f"false-match rate of {false_match_rate:g}; `lka-reid data check` finds copied images"
        )
    similarity = _lowest(curves, false_rates, false_match_rate)
    totals, hits, matched = _count_by_vehicle(
        images, similarity, workspace=workspace, report=lambda done: report(len(images) + done)
    )
    measured = int(hits.sum()) / 2 / negative
    effective = effective_pairs(totals, hits)
    low, high = wilson(false_match_rate, effective)
    return (
        Calibration(
            similarity=similarity,
            wanted=false_match_rate,
            false_match_rate=measured,
            false_match_interval=wilson(measured, effective),
            similarity_interval=(_lowest(curves, false_rates, high), _lowest(curves, false_rates, low)),
            true_match_rate=matched / positive,
            negative_pairs=negative,
            effective_pairs=effective,
            positive_pairs=positive,
        ),
        curves,
    )


def _refuse_too_few(negative: int, positive: int, rate: float) -> None:
    if negative * rate < MIN_FALSE_MATCHES:
        able = (
            f"The lowest rate that they can show is {MIN_FALSE_MATCHES / negative:.1e}"
            if negative > MIN_FALSE_MATCHES
            else "They cannot show any rate"
        )
        raise CalibrationError(
            f"{negative:,} pairs of two vehicles from two cameras are too few for a false-match "
            f"rate of {rate:g}: at least {MIN_FALSE_MATCHES / rate:,.0f} are needed, to expect "
            f"{MIN_FALSE_MATCHES} false matches. {able}. Give images of more vehicles, or a higher rate"
        )
    if not positive:
        raise CalibrationError("no vehicle was seen by two cameras: there is no pair that should match")


def count_pairs(
    images: Side, *, workspace: int = WORKSPACE, report: Callable[[int], None] = lambda _: None
) -> Curves:
    """Similarities of all unordered pairs from different cameras, in bins."""
    same, different = _Histogram(), _Histogram()
    for row, alike, unlike, done in _pairs(images, workspace):
        bins = np.clip((row + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)
        same.add(bins[alike])
        different.add(bins[unlike])
        report(done)
    return Curves(same.counts(), different.counts())


class _Histogram:
    """Counts in bins; what is added waits until there is enough of it, for counting touches every bin."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, dtype=np.int64)
        self._waiting: list[NDArray[np.int32]] = []
        self._size = 0

    def add(self, bins: NDArray[np.int32]) -> None:
        self._waiting.append(bins)
        self._size += len(bins)
        if self._size >= COUNTED:
            self.counts()

    def counts(self) -> Counts:
        if self._waiting:
            self._counts += np.bincount(np.concatenate(self._waiting), minlength=BINS)
            self._waiting, self._size = [], 0
        return self._counts


def _count_by_vehicle(
    images: Side, similarity: float, *, workspace: int, report: Callable[[int], None]
) -> tuple[Counts, Counts, int]:
    """Of each vehicle the pairs with others and how many of them match; and the correct matches of all.

    A pair of two vehicles is counted with both of them.
    """
    names, codes = np.unique(images.vehicles, return_inverse=True)
    totals, hits = np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    matched = 0
    for number, (row, alike, unlike, done) in enumerate(_pairs(images, workspace)):
        others, own = codes[number + 1 :], codes[number]
        above = row >= similarity
        matched += int(np.count_nonzero(above & alike))
        for counts, mask in ((totals, unlike), (hits, unlike & above)):
            counts += np.bincount(others[mask], minlength=len(names))
            counts[own] += np.count_nonzero(mask)
        report(done)
    return totals, hits, matched


def _pairs(images: Side, workspace: int) -> Iterator[tuple[NDArray[np.float64], Mask, Mask, int]]:
    """For each image its similarities to all later ones, which of them are of the same vehicle, which of
    another (both from other cameras), and the number of images done."""
    _, vehicles = np.unique(images.vehicles, return_inverse=True)
    _, cameras = np.unique(images.cameras, return_inverse=True)
    for start, chunk in similarity_chunks(images, images, workspace):
        for offset in range(len(chunk)):
            number = start + offset
            row = chunk[offset, number + 1 :].astype(np.float64)
            apart = cameras[number + 1 :] != cameras[number]
            alike = vehicles[number + 1 :] == vehicles[number]
            yield row, alike & apart, apart & ~alike, number + 1


def effective_pairs(totals: Counts, hits: Counts) -> float:
    """How many independent pairs would give the rate as surely as these, which share vehicles.

    Args:
        totals: pairs of each vehicle with others, `[V]`; each pair is counted with both of its vehicles.
        hits: those of them that match, `[V]`.
    """
    pairs, matches = totals.sum() / 2, hits.sum() / 2
    rate = matches / pairs
    left = pairs - totals
    usable = left > 0
    without = (matches - hits[usable]) / left[usable]
    count = len(without)
    spread = float(((without - without.mean()) ** 2).sum()) * (count - 1) / count if count > 1 else 0.0
    if spread <= 0:
        return float(pairs)
    return float(np.clip(rate * (1 - rate) / spread, 1, pairs))


def wilson(rate: float, pairs: float) -> tuple[float, float]:
    """Wilson's 95 % interval for a rate measured on so many independent pairs."""
    square = NORMAL_95**2
    middle = rate + square / (2 * pairs)
    reach = NORMAL_95 * math.sqrt(rate * (1 - rate) / pairs + square / (4 * pairs**2))
    scale = 1 + square / pairs
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def _at_or_above(counts: Counts) -> NDArray[np.float64]:
    return np.asarray(np.cumsum(counts[::-1])[::-1] / counts.sum(), dtype=np.float64)


def _lowest(curves: Curves, rates: NDArray[np.float64], wanted: float) -> float:
    """The lowest threshold with at most the wanted rate; 1 where there is none."""
    good = np.flatnonzero(rates <= wanted)
    return float(curves.edges[good[0]]) if len(good) else 1.0
