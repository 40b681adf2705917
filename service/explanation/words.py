"""An explanation in words, for the figure's legends and for a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.explanation import Direction, Explanation
from models.manifest import Manifest, Threshold

Numbers = NDArray[Any]

EVEN = 1.02
"""Attention that stays below this multiple of an even share singles nothing out."""
ACTIVATIONS = (
    "The mean over the channels of each branch's last map, on a scale of its own: bright is where the branch "
    "responds most. It shows where, not why: a bright place need not have decided anything."
)
MEANINGS = {"L": "L: large kernel attention", "H": "H: hybrid channel attention"}


def percent(share: float, digits: int) -> str:
    """A share of 1, as people write it."""
    return f"{100 * share:.{digits}f} %"


def sum_line(explanation: Explanation, manifest: Manifest) -> str:
    """How the distance comes about, and what the threshold says of the similarity."""
    parts = f"distance {explanation.distance:.3f} = {explanation.strips_part:.3f}, the mean of the strips"
    if explanation.fusion:
        parts += f", + {explanation.fusion:g} x (1 - similarity), which is {explanation.similarity_part:.3f}"
    said = verdict(explanation, manifest.threshold_for(explanation.camera))
    return f"{parts};  {said}" if said else parts


def verdict(explanation: Explanation, threshold: Threshold | None) -> str | None:
    """Whether the pair is a match by the bundle's threshold; None without one."""
    if threshold is None:
        return None
    reaches = explanation.similarity >= threshold.similarity
    sign, word = ("reaches", "a match") if reaches else ("is below", "no match")
    return f"similarity {sign} the threshold {threshold.similarity:.3f}: {word}"


def ribbons(attention: Numbers, manifest: Manifest) -> str:
    """What the ribbons between the images mean; `attention` is `[bands, bands]`."""
    spec = manifest.input
    text = "Ribbons: how far a probe band's attention to a candidate band exceeds an even share"
    if attention.max() * len(attention) > EVEN:
        text += f" (the widest: {percent(attention.max(), 0)}, even is {percent(1 / len(attention), 0)})"
    return f"{text}, over all columns and heads. Images are shown as the network gets them, squeezed to " + (
        f"{spec.width} x {spec.height} px; a strip also sees some way beyond its band."
    )


def even(attention: Numbers) -> str:
    """That attention `[n, n]` singles nothing out, with its range."""
    low, high, share = (percent(value, 1) for value in (attention.min(), attention.max(), 1 / len(attention)))
    return f"Attention is even: {low} to {high} a band, where even is {share}. No band stands out."


def strips(explanation: Explanation, manifest: Manifest) -> str:
    """How the maps of attention are to be read."""
    text = (
        f"{_cut(explanation)}: {len(explanation.columns)} x {explanation.bands} of an image, "
        f"bands from top to bottom within each {_column(explanation)}. Colours show the mean over the heads "
        "as a multiple of an even share; rows add up to 100 %."
    )
    if compares_along(manifest):
        text += " A strip's distance is that from the strips that it looks at, and that look at it."
    return text


def compares_along(manifest: Manifest) -> bool:
    """Whether the bundle's re-ranker compares along its attention, not place by place."""
    return manifest.reranker is not None and manifest.reranker.config.get("distance") == "attention"


def spread(probe: Numbers, candidate: Numbers, manifest: Manifest) -> str:
    """How far two maps of attention `[s, s]` are from even."""
    low, high = (edge([edge(a) for a in (probe, candidate)]) for edge in (np.min, np.max))
    text = f"Here a strip gets {percent(low, 2)} to {percent(high, 2)} of another's attention."
    if high * len(probe) <= EVEN:
        text += " That is even: the re-ranker " + (
            "compares every strip with all of the other image's."
            if compares_along(manifest)
            else "takes the other image's mean, and compares strip with strip."
        )
    return text


def letters(branches: tuple[str, ...]) -> str:
    """What the branches' letters stand for, where the paper has named them."""
    return ", ".join(
        meaning for letter, meaning in MEANINGS.items() if any(b == f"{letter}1" for b in branches)
    )


def summary(explanation: Explanation, manifest: Manifest) -> list[tuple[str, str]]:
    """An explanation as lines of a terminal: what, and how much."""
    means = explanation.strip_distances.mean(axis=0)
    near, far = int(means.argmin()), int(means.argmax())
    text = verdict(explanation, manifest.threshold_for(explanation.camera))
    lines = [
        ("bundle", manifest.name),
        ("similarity", f"{explanation.similarity:.4f}"),
        *([("", text)] if text else []),
        ("re-rank distance", f"{explanation.distance:.4f}"),
        ("  strips", f"{explanation.strips_part:.4f}"),
    ]
    if explanation.fusion:
        share = f"{explanation.similarity_part:.4f}  ({explanation.fusion:g} x (1 - similarity))"
        lines.append(("  similarity", share))
    lines += [
        ("nearest band", f"{near + 1} of {explanation.bands} from the top, {means[near]:.4f}"),
        ("farthest band", f"{far + 1} of {explanation.bands} from the top, {means[far]:.4f}"),
        ("probe looked", _looked(explanation, "probe")),
        ("candidate looked", _looked(explanation, "candidate")),
    ]
    return lines


def _looked(explanation: Explanation, of: Direction) -> str:
    attention = explanation.attention(of)
    row, column = (int(place) for place in np.unravel_index(attention.argmax(), attention.shape))
    most, share = percent(attention[row, column], 2), percent(1 / len(attention), 2)
    if attention.max() * len(attention) <= EVEN:
        return f"evenly: a strip gets {most} at most, where even is {share}"
    pair = f"{_strip(explanation, row)} at {_strip(explanation, column)}"
    return f"most from {pair}: {most}, where even is {share}"


def _strip(explanation: Explanation, strip: int) -> str:
    column, band = divmod(strip, explanation.bands)
    return f"{explanation.columns[column]} band {band + 1}"


def _column(explanation: Explanation) -> str:
    return "branch" if explanation.columns == explanation.branches else "column"


def _cut(explanation: Explanation) -> str:
    if explanation.columns == explanation.branches:
        return "A strip is a band of a branch"
    return "A strip is a cell of a grid: a band of one of the columns C1 (left) to " + explanation.columns[-1]
