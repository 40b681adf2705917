"""Cells of a comparison put together: means, spreads, paired tests, and the table in Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.significance import bootstrap, mcnemar
from training.studies.comparison import OURS

FIGURES = ("mAP", "R1", "R5")


def summary(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each method.

    A seed's figure is the mean over its folds; the spread is the standard deviation of the seeds' figures,
    None where there is one seed. Milliseconds are the mean over the cells.

    Args:
        cells: as `measure` gives them.
    """
    lines = []
    for name in cells[0]["methods"]:
        own = [(cell["seed"], cell["methods"][name]) for cell in cells]
        times = [method["milliseconds"] for _, method in own]
        line: dict[str, Any] = {
            "method": name,
            "milliseconds": None if None in times else float(np.mean(times)),
            "offline": own[0][1]["offline"],
            "settings": [method["settings"] for _, method in own],
        }
        for figure in FIGURES:
            by_seed: dict[int, list[float]] = defaultdict(list)
            for seed, method in own:
                by_seed[seed].append(method["figures"][figure])
            means = [float(np.mean(values)) for values in by_seed.values()]
            line[figure] = float(np.mean(means))
            line[f"{figure} spread"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
        lines.append(line)
    return lines


def paired(cells: Sequence[dict[str, Any]], one: str, other: str) -> dict[str, Any]:
    """`one` against `other`, query by query, over all cells.

    Returns:
        Queries whose first match is correct by `one` alone (won) or by `other` alone (lost), the exact
        McNemar p, and mean difference with 95 % interval over vehicles of R1 and of mAP, in points.
    """

    def pooled(name: str, key: str) -> NDArray[np.float64]:
        return np.concatenate([np.asarray(cell["methods"][name][key], dtype=float) for cell in cells])

    vehicles = np.concatenate([np.asarray(cell["vehicles"]) for cell in cells])
    right, before = (pooled(name, "first_correct") == 1 for name in (one, other))
    won, lost = int((right & ~before).sum()), int((before & ~right).sum())
    precision = pooled(one, "precision") - pooled(other, "precision")
    return {
        "one": one,
        "other": other,
        "queries": len(vehicles),
        "vehicles": len(set(vehicles.tolist())),
        "won": won,
        "lost": lost,
        "p": mcnemar(won, lost),
        "R1": asdict(bootstrap(100.0 * (right.astype(float) - before), vehicles)),
        "mAP": asdict(bootstrap(100.0 * precision, vehicles)),
    }


def all_paired(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Our second stage against the first stage and against each baseline."""
    return [paired(cells, OURS, name) for name in cells[0]["methods"] if name != OURS]


def markdown(lines: Sequence[dict[str, Any]], tests: Sequence[dict[str, Any]], notes: Sequence[str]) -> str:
    """Both tables, with notes below them."""
    text = [f"| | {' | '.join(FIGURES)} | ms a probe |", f"|---|{'---:|' * (len(FIGURES) + 1)}"]
    for line in lines:
        figures = [_with_spread(line[key], line[f"{key} spread"]) for key in FIGURES]
        cost = "-" if line["milliseconds"] is None else f"{line['milliseconds']:.2f}"
        text.append(f"| {' | '.join([line['method'], *figures, cost])} |")
    head = ["won", "lost", "p (McNemar)", "R1, points", "mAP, points"]
    text += ["", f"| {tests[0]['one']} against | {' | '.join(head)} |", f"|---|{'---:|' * len(head)}"]
    for test in tests:
        found = [str(test["won"]), str(test["lost"]), f"{test['p']:.2g}"]
        found += [_interval(test[key]) for key in ("R1", "mAP")]
        text.append(f"| {' | '.join([test['other'], *found])} |")
    return "\n".join([*text, "", *(f"- {note}" for note in notes)]) + "\n"


def protocol_notes(cells: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]) -> list[str]:
    """What the tables mean and how they came about."""
    folds, seeds = ({cell[key] for cell in cells} for key in ("fold", "seed"))
    queries = sum(len(cell["vehicles"]) for cell in cells)
    vehicles = len({vehicle for cell in cells for vehicle in cell["vehicles"]})
    searched = (
        "each image queries all others, R1 is Recall@1; a single probe and all at once are the same then"
        if any(cell["protocol"] != "cameras" for cell in cells)
        else "each camera's images query those of all others"
    )
    spread = (
        f"mean ± standard deviation over {len(seeds)} seeds, each the mean of its folds"
        if len(seeds) > 1
        else "one seed, so no spread; the mean of its folds"
    )
    offline: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line["milliseconds"] is not None and line["offline"] != "none":
            offline[line["offline"]].append(line["method"])
    uncounted = "; ".join(f"{work} ({', '.join(methods)})" for work, methods in offline.items())
    return [
        f"cells: {len(cells)}, folds: {len(folds)}, seeds: {len(seeds)}; {queries} queries of {vehicles} "
        f"vehicles; {searched}",
        spread,
        "settings of the baselines chosen by mAP on the validation features alone, cell by cell; no grid has "
        "one that leaves the first stage as it is",
        "ms a probe: median over probes ranked for one by one (the fastest of three times each), one CPU "
        "thread, ours in torch and the baselines in numpy as they are here, with the first stage's search "
        "and sorting; mean over the cells. Not counted: " + (uncounted or "nothing"),
        "'all probes at once' is the published form: a service that searches for one probe at a time cannot "
        "do it",
        "McNemar is exact and takes queries as independent; intervals (95 %) are of a bootstrap over "
        "vehicles, all queries of a vehicle drawn together",
    ]


def _with_spread(mean: float, spread: float | None) -> str:
    return f"{mean:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")


def _interval(found: dict[str, float]) -> str:
    return f"{found['mean']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}]"
