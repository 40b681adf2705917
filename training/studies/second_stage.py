"""The study itself: every variant in every cell, each measured once and kept, and the tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from training.checkpoints.resume import kept
from training.checkpoints.weights import save_reranker
from training.config.reranker import HeadTraining
from training.datasets.folds import Part
from training.evaluation.result import moved_first
from training.evaluation.significance import mcnemar
from training.features.store import save_features
from training.progress import Reporter
from training.reranker.strip_head import StripChoice
from training.signals import StopRequest
from training.studies.cells import CellBands, CellMaker
from training.studies.locks import share
from training.studies.variants import OURS, Outcome, Strips, Variant, measure

SHOWN = ("mAP", "R1", "R5")
GROUPS = {
    "strips": "Which strips",
    "re-ranker": "Which re-ranker",
    "selection": "Selection of channels (DCS-Attention)",
    "mining": "Where the training lists come from",
}


class SecondStageStudy:
    """Variants x cells x seeds of the re-ranker in a folder.

    Args:
        maker: of the cells.
        parts: the splits of the vehicles.
        folder: keeps a JSON file for each measured variant, and under `cells-SEED` what
            `lka-reid compare-rerankers` wants of our own.
        reporter: receives the events.
        stop: checked after every step.
    """

    def __init__(
        self,
        maker: CellMaker,
        parts: Sequence[Part],
        folder: Path,
        reporter: Reporter,
        stop: StopRequest | None = None,
    ) -> None:
        self.maker = maker
        self.parts = parts
        self.folder = folder
        self.reporter = reporter
        self.stop = stop or StopRequest()

    def run(self, variants: Sequence[Variant], cell_seeds: int, seeds: int) -> list[dict[str, Any]]:
        """All outcomes as plain JSON types; those already there are read, other processes' waited for.

        Args:
            variants: to measure; all but ours with the first seed alone.
            cell_seeds: splits trained with seeds 0, 1, ...
            seeds: of the re-ranker, 0, 1, ..., within a cell.

        Raises:
            ResumeError: an outcome there was made with other settings.
            StoppedError: it was stopped; the same call goes on.
        """
        found: dict[tuple[int, int], list[dict[str, Any]]] = {}

        def make(cell: tuple[int, Part]) -> None:
            cell_seed, part = cell
            found[cell_seed, part.number] = self._measured(cell_seed, part, variants, seeds)

        cells = [(cell_seed, part) for cell_seed in range(cell_seeds) for part in self.parts]
        share(
            cells,
            lambda cell: self.folder / f"seed{cell[0]}-fold{cell[1].number}.lock",
            make,
            self.reporter.part,
            self.stop,
        )
        return [outcome for seed, part in cells for outcome in found[seed, part.number]]

    def _measured(
        self, cell_seed: int, part: Part, variants: Sequence[Variant], seeds: int
    ) -> list[dict[str, Any]]:
        """All outcomes of a cell."""

        @cache
        def bands() -> CellBands:
            return self.maker.bands(part, cell_seed)

        @cache
        def strips(choice: StripChoice | None, head: HeadTraining) -> Strips:
            return Strips(bands(), choice, head)

        def make(variant: Variant, seed: int) -> dict[str, Any]:
            own = strips(variant.strips, variant.head)
            measured = measure(own, variant, seed, self.reporter, self.stop)
            if variant == OURS:
                cell = self.folder / f"cells-{cell_seed}" / f"fold-{part.number}-seed-{seed}"
                self._keep(cell, own, measured)
            return {
                "variant": variant.name,
                "group": variant.group,
                "cell_seed": cell_seed,
                "fold": part.number,
                "seed": seed,
                **_plain(measured),
            }

        folder = self.folder / f"seed{cell_seed}-fold{part.number}"
        return [
            kept(
                folder / f"{_file_name(variant)}-{seed}.json",
                self._settings(variant, seed),
                partial(make, variant, seed),
            )
            for variant in variants
            for seed in range(seeds if variant == OURS else 1)
        ]

    def _settings(self, variant: Variant, seed: int) -> dict[str, Any]:
        return {
            "variant": repr(variant),
            "seed": seed,
            "views": self.maker.views,
            "embedder": self.maker.config.settings(),
            **self.maker.sources,
        }

    def _keep(self, folder: Path, strips: Strips, outcome: Outcome) -> None:
        """What the baselines need to be measured on the same lists."""
        provenance = {"cell": folder.name}
        save_features(folder / "validation", strips.unseen[0][0], provenance)
        save_features(folder / "test", strips.test, provenance)
        save_reranker(folder / "reranker.safetensors", outcome.model)


def _file_name(variant: Variant) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in variant.name.lower())


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "first": outcome.first,
        "both": outcome.both,
        "ranks_first": outcome.ranks[0],
        "ranks_both": outcome.ranks[1],
        "choice": outcome.choice,
        "mistaken": outcome.mistaken,
    }


def line(outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A variant's figures: means over its cells and seeds, and the spread of the gain over the cells.

    A cell's gain is the mean over its seeds; the spread is the standard deviation of the cells' gains, and
    the spread over the seeds that of the seeds' means over the cells; `over embedders` is that of the
    embedders' seeds. `gain within` is that of the reciprocal rank on the inner halves, on which everything is
    chosen. `p` is McNemar's of the embedders' seed with the weakest case, since seeds share their queries.
    """
    made: dict[str, Any] = {"variant": outcomes[0]["variant"], "outcomes": len(outcomes)}
    for figure in SHOWN:
        made[f"first {figure}"] = float(np.mean([o["first"][figure] for o in outcomes]))
        made[figure] = float(np.mean([o["both"][figure] for o in outcomes]))
        gains = {
            (o["cell_seed"], o["fold"], o["seed"]): o["both"][figure] - o["first"][figure] for o in outcomes
        }
        made[f"gain {figure}"] = float(np.mean(list(gains.values())))
        for spread, key in (("cells", slice(0, 2)), ("embedders", slice(1)), ("seeds", slice(2, 3))):
            groups = sorted({cell[key] for cell in gains})
            means = [
                np.mean([gain for cell, gain in gains.items() if cell[key] == group]) for group in groups
            ]
            made[f"gain {figure} over {spread}"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
    found = [
        _won_and_lost([o for o in outcomes if o["cell_seed"] == seed])
        for seed in sorted({o["cell_seed"] for o in outcomes})
    ]
    made["won"], made["lost"] = (sum(each) for each in zip(*found, strict=True))
    made["p"] = max(mcnemar(*each) for each in found)
    made["mistaken"] = float(np.mean([o["mistaken"] for o in outcomes]))
    made["gain within"] = float(np.mean([_gain_within(o["choice"]) for o in outcomes]))
    return made


def _won_and_lost(outcomes: Sequence[dict[str, Any]]) -> tuple[int, int]:
    before, after = (np.concatenate([o[key] for o in outcomes]) for key in ("ranks_first", "ranks_both"))
    return moved_first(before, after)


def _gain_within(choice: dict[str, Any]) -> float:
    """The gain in reciprocal rank on the inner halves, with what was chosen on them."""
    return float(choice["reciprocal_ranks"][str(choice["fusion"])] - choice["first_stage"])


def markdown(outcomes: Sequence[dict[str, Any]], notes: Sequence[str]) -> str:
    """A table for each group of variants, ours first in each, with notes below."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        if outcome["seed"] == 0:
            by_name.setdefault(outcome["variant"], []).append(outcome)
    groups = {found[0]["variant"]: found[0]["group"] for found in by_name.values()}
    ours = [name for name in by_name if groups[name] == "ours"]
    text: list[str] = []
    for group, title in GROUPS.items():
        variants = [name for name in by_name if groups[name] == group]
        if not variants:
            continue
        rows = [line(by_name[name]) for name in (*ours, *variants)]
        text += ["", f"**{title}**", "", *_table(rows, first=not text)]
        if group == "mining":
            mistaken = "; ".join(f"{row['variant']}: {100 * row['mistaken']:.1f} %" for row in rows)
            text += ["", f"Training lists whose first match is wrong: {mistaken}."]
    if not text:
        text = ["", *_table([line(by_name[name]) for name in by_name], first=True)]
    for row in (line(by_name[name]) for name in ours):
        spreads = [(figure, row[f"gain {figure} over embedders"]) for figure in ("mAP", "R1")]
        if all(spread is not None for _, spread in spreads):
            gains = ", ".join(
                f"{figure} {row[f'gain {figure}']:+.2f} ± {spread:.2f}" for figure, spread in spreads
            )
            notes = [*notes, f"ours over the embedders' seeds: {gains}"]
    return "\n".join([*text[1:], "", *(f"- {note}" for note in notes)]) + "\n"


def _table(rows: Sequence[dict[str, Any]], *, first: bool) -> list[str]:
    columns = ("mAP", "R1", "gain in mAP", "gain in R1", "won", "lost", "McNemar", "inner gain")
    text = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    if first:
        figures = f"{rows[0]['first mAP']:.2f} | {rows[0]['first R1']:.2f}"
        text.append(f"| first stage alone | {figures} |{' |' * (len(columns) - 2)}")
    for row in rows:
        cells = [f"{row['mAP']:.2f}", f"{row['R1']:.2f}", *(_gain(row, figure) for figure in ("mAP", "R1"))]
        cells += [str(row["won"]), str(row["lost"]), f"{row['p']:.2g}", f"{row['gain within']:+.2f}"]
        text.append(f"| {row['variant']} | {' | '.join(cells)} |")
    return text


def _gain(row: dict[str, Any], figure: str) -> str:
    spread = row[f"gain {figure} over cells"]
    return f"{row[f'gain {figure}']:+.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
