"""A calibration as a plot: how similar pairs are, and the match rates at each threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter, ScalarFormatter
from numpy.typing import NDArray

from models.wording import counted
from training.evaluation.calibration import Calibration
from training.evaluation.pairs import BINS, Curves, edge

SAME, DIFFERENT, CHOSEN = "#1a9850", "#b2182b", "#2166ac"
BARS, FEWEST = 80, 16
BELOW: dict[str, Any] = {
    "loc": "upper left",
    "bbox_to_anchor": (-0.02, -0.14),
    "fontsize": 8,
    "frameon": False,
}
"""Legends stand where no curve can be."""
Rates = NDArray[np.float64]


def plot_calibration(calibration: Calibration, curves: Curves, title: str, out: Path) -> None:
    """Draw both kinds of pairs with the threshold, the ROC and the DET curve, and write a PNG."""
    figure = Figure(figsize=(13.5, 4.8), dpi=120, layout="constrained")
    similarities, roc, det = figure.subplots(1, 3)
    _draw_similarities(similarities, calibration, curves)
    _draw_roc(roc, calibration, curves)
    _draw_det(det, calibration, curves)
    figure.suptitle(title, fontsize=11)
    figure.savefig(out, facecolor="white", bbox_inches="tight")


def _draw_similarities(axes: Axes, calibration: Calibration, curves: Curves) -> None:
    seen = np.flatnonzero(curves.same + curves.different)
    # So few bars that those of few pairs have something in them.
    bars = min(
        BARS, max(FEWEST, 3 * round(min(calibration.negative_pairs, calibration.positive_pairs) ** 0.5))
    )
    width = max(1, -(-(seen[-1] + 1 - seen[0]) // bars))
    starts = np.arange(seen[0], seen[-1] + 1, width)
    left = edge(starts)
    for counts, colour, name, total in (
        (curves.different, DIFFERENT, "two vehicles", calibration.negative_pairs),
        (curves.same, SAME, "one vehicle", calibration.positive_pairs),
    ):
        shares = np.add.reduceat(counts[: seen[-1] + 1], starts) / total
        label = f"{name} ({counted(total, 'pair')})"
        axes.bar(left, shares, 2 * width / BINS, align="edge", color=colour, alpha=0.55, label=label)
    axes.axvline(
        calibration.similarity, color=CHOSEN, linewidth=1.8, label=f"threshold {calibration.similarity:.6f}"
    )
    axes.axvspan(*calibration.similarity_interval, color=CHOSEN, alpha=0.15, linewidth=0)
    axes.set_xlim(left[0], left[-1] + 2 * width / BINS)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="similarity", ylabel="share of pairs", title="Pairs from different cameras")
    axes.legend(**BELOW)
    _tidy(axes)


def _draw_roc(axes: Axes, calibration: Calibration, curves: Curves) -> None:
    false, true = curves.match_rates()
    shown = _corners(false, true) & (false > 0)
    axes.plot(false[shown], true[shown], color="black", linewidth=1.5)
    _mark(axes, calibration, calibration.true_match_rate)
    axes.set_xscale("log")
    axes.set_xlim(_least(calibration), 1)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="false-match rate", ylabel="true-match rate", title="ROC")
    axes.legend(**BELOW)
    _tidy(axes)


def _draw_det(axes: Axes, calibration: Calibration, curves: Curves) -> None:
    false, true = curves.match_rates()
    missed = 1 - true
    shown = _corners(false, missed) & (false > 0) & (missed > 0)
    axes.plot(false[shown], missed[shown], color="black", linewidth=1.5)
    if calibration.true_match_rate < 1:
        _mark(axes, calibration, 1 - calibration.true_match_rate)
    axes.plot([1e-9, 1], [1e-9, 1], color="grey", linewidth=0.8, linestyle=":", label="equal error")
    axes.legend(**BELOW)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(_least(calibration), 1)
    axes.set_ylim(0.5 / calibration.positive_pairs, 1.3)
    axes.yaxis.set_major_locator(LogLocator(10))
    axes.set(xlabel="false-match rate", ylabel="false-non-match rate", title="DET")
    _tidy(axes)


def _least(calibration: Calibration) -> float:
    """The lowest false-match rate that is shown: a pair's, or that of a threshold too rare to be counted."""
    rate = max(calibration.false_match_rate, 1e-9)
    return min(1 / calibration.negative_pairs, rate / 3)


def _corners(first: Rates, second: Rates) -> NDArray[np.bool_]:
    """The bins at which either curve changes; most change nothing."""
    changed = (np.diff(first) != 0) | (np.diff(second) != 0)
    return np.concatenate((changed, [True])) | np.concatenate(([True], changed))


def _mark(axes: Axes, calibration: Calibration, height: float) -> None:
    low, high = calibration.false_match_interval
    rate = calibration.false_match_rate
    axes.errorbar(
        [rate],
        [height],
        xerr=[[rate - low], [high - rate]],
        fmt="o",
        color=CHOSEN,
        capsize=3,
        label=f"threshold: {rate:.2g} false, {calibration.true_match_rate:.1%} true",
    )


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.title.set_fontsize(10)
