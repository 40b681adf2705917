"""The similarity threshold for a wanted false-match rate, from pairs of images of different cameras.

A false match is a pair of different vehicles at or above the threshold. The rate is counted over all
unordered pairs from different cameras. Pairs share vehicles and so are not independent: the sampling error
comes from leaving out one vehicle after the other (jackknife), which gives the number of independent pairs
that would be as good; Wilson's interval is taken with that number (after Korn and Graubard's interval for
surveys). Where a rate is too low to be counted in so few pairs, `training.evaluation.tail` follows the tail
of the similarities, and its intervals say how far that can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.pairs import BINS, DECIMALS, Counts, Curves, count_pairs, pairs_of
from training.evaluation.retrieval import WORKSPACE, Side
from training.evaluation.tail import BELOW, LEAST, Tail, tail_size

MIN_FALSE_MATCHES = 30
"""Doddington's rule of 30: with 30 errors the true rate is nine times in ten within 30 % of the measured."""
NORMAL_95 = 1.959964


class CalibrationError(Exception):
    """A threshold that these pairs cannot give; the message says what they could give."""


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
        counted: whether the wanted rate was counted; else the tail of the similarities was followed to it.
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
    counted: bool = True


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
        CalibrationError: too few pairs of two vehicles even to follow their tail to that rate, no pair of one
            vehicle, or more pairs at similarity 1 than the rate allows.
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

    def second(done: int) -> None:
        report(len(images) + done)

    if negative * false_match_rate < MIN_FALSE_MATCHES:
        return _followed(images, curves, similarity, false_match_rate, workspace, second), curves
    totals, hits, matched = _count_by_vehicle(images, similarity, workspace=workspace, report=second)
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


def _followed(
    images: Side,
    curves: Curves,
    least: float,
    rate: float,
    workspace: int,
    report: Callable[[int], None],
) -> Calibration:
    """The threshold where the tail of the similarities reaches the rate.

    Args:
        images: N of them.
        curves: of their pairs.
        least: the lowest threshold at which no more pairs match than the rate allows.
        rate: wanted.
        workspace: bytes to work in.
        report: called with the number of images done, of N.
    """
    negative, positive = int(curves.different.sum()), int(curves.same.sum())
    tail = _tail_of(images, curves, workspace, report)
    similarity = round(max(least, math.ceil(tail.threshold(rate) * 10**DECIMALS) / 10**DECIMALS), DECIMALS)
    _, true_rates = curves.match_rates()
    place = min(BINS - 1, int(np.searchsorted(curves.edges, similarity)))
    estimate = tail.rate(similarity)
    of_rate, of_threshold = tail.intervals(similarity, rate)
    high = max(of_rate[1], estimate)
    return Calibration(
        similarity=similarity,
        wanted=rate,
        false_match_rate=estimate,
        false_match_interval=(min(of_rate[0], estimate), high),
        similarity_interval=(min(of_threshold[0], similarity), max(of_threshold[1], similarity)),
        true_match_rate=float(true_rates[place]),
        negative_pairs=negative,
        effective_pairs=float(len(np.unique(images.vehicles))),
        positive_pairs=positive,
        counted=False,
    )


def _tail_of(images: Side, curves: Curves, workspace: int, report: Callable[[int], None]) -> Tail:
    """The most similar pairs of two vehicles."""
    wanted = tail_size(int(curves.different.sum()))
    above = np.cumsum(curves.different[::-1])[::-1]
    level = float(curves.edges[np.flatnonzero(above >= wanted)[-1]])
    names, codes = np.unique(images.vehicles, return_inverse=True)
    cameras, places = np.unique(images.cameras, return_inverse=True)
    values: list[NDArray[np.float64]] = []
    firsts: list[NDArray[np.intp]] = []
    seconds: list[NDArray[np.intp]] = []
    for number, (row, _, unlike, done) in enumerate(pairs_of(images, workspace)):
        high = np.flatnonzero(unlike & (row >= level))
        values.append(row[high])
        firsts.append(np.full(len(high), codes[number], dtype=np.intp))
        seconds.append(codes[number + 1 :][high])
        report(done)
    seen = np.zeros((len(names), len(cameras)), dtype=np.int64)
    np.add.at(seen, (codes, places), 1)
    return Tail(level, np.concatenate(values), np.concatenate(firsts), np.concatenate(seconds), seen)


def _refuse_too_few(negative: int, positive: int, rate: float) -> None:
    if negative < LEAST or negative * rate < BELOW:
        able = (
            f"The lowest rate that they can say something of is {BELOW / negative:.1e}"
            if negative >= LEAST
            else f"They cannot show any rate: that takes {LEAST}"
        )
        raise CalibrationError(
            f"{negative:,} pairs of two vehicles from two cameras are too few for a false-match "
            f"rate of {rate:g}. {able}. Give images of more vehicles, or a higher rate"
        )
    if not positive:
        raise CalibrationError("no vehicle was seen by two cameras: there is no pair that should match")


def _count_by_vehicle(
    images: Side, similarity: float, *, workspace: int, report: Callable[[int], None]
) -> tuple[Counts, Counts, int]:
    """Of each vehicle the pairs with others and how many of them match; and the correct matches of all.

    A pair of two vehicles is counted with both of them.
    """
    names, codes = np.unique(images.vehicles, return_inverse=True)
    totals, hits = np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    matched = 0
    for number, (row, alike, unlike, done) in enumerate(pairs_of(images, workspace)):
        others, own = codes[number + 1 :], codes[number]
        above = row >= similarity
        matched += int(np.count_nonzero(above & alike))
        for counts, mask in ((totals, unlike), (hits, unlike & above)):
            counts += np.bincount(others[mask], minlength=len(names))
            counts[own] += np.count_nonzero(mask)
        report(done)
    return totals, hits, matched


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


def _lowest(curves: Curves, rates: NDArray[np.float64], wanted: float) -> float:
    """The lowest threshold with at most the wanted rate; 1 where there is none."""
    good = np.flatnonzero(rates <= wanted)
    return float(curves.edges[good[0]]) if len(good) else 1.0
