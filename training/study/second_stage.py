"""The study itself: every variant in every cell, each measured once and kept, and the tables of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.ablation import Part
from training.checkpoint import save_reranker
from training.claims import share
from training.evaluation.significance import mcnemar
from training.featurestore import save_features
from training.interruption import Interruption
from training.reranker_choice import Reporter
from training.snapshot import Snapshots
from training.striphead import HeadTraining
from training.study.cells import CellBands, CellMaker
from training.study.variants import OURS, Outcome, Strips, Variant, measure

SHOWN = ("mAP", "R1", "R5")
GROUPS = {
    "strips": "Which strips",
    "re-ranker": "Which re-ranker",
    "mining": "Where the training lists come from",
}


class SecondStageStudy:
    """Variants x cells x seeds of the re-ranker in a folder.

    Args:
        maker: of the cells.
        parts: the divisions of the vehicles.
        folder: keeps a JSON file for each measured variant, and under `cells-SEED` what
            `lka-reid compare-rerankers` wants of our own.
        reporter: told of every step.
        interruption: asked after every step.
    """

    def __init__(
        self,
        maker: CellMaker,
        parts: Sequence[Part],
        folder: Path,
        reporter: Reporter,
        interruption: Interruption | None = None,
    ) -> None:
        self.maker = maker
        self.parts = parts
        self.folder = folder
        self.reporter = reporter
        self.interruption = interruption or Interruption()

    def run(self, variants: Sequence[Variant], cell_seeds: int, seeds: int) -> list[dict[str, Any]]:
        """All outcomes as plain JSON types; those already there are read, other processes' waited for.

        Args:
            variants: to measure; all but ours with the first seed alone.
            cell_seeds: divisions trained with seeds 0, 1, ...
            seeds: of the re-ranker, 0, 1, ..., within a cell.

        Raises:
            SnapshotError: an outcome there was made with other settings.
            InterruptedRunError: it was asked to stop; the same call goes on.
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
            self.interruption,
        )
        return [outcome for seed, part in cells for outcome in found[seed, part.number]]

    def _measured(
        self, cell_seed: int, part: Part, variants: Sequence[Variant], seeds: int
    ) -> list[dict[str, Any]]:
        """All outcomes of a cell."""
        bands: CellBands | None = None
        made: dict[Any, Strips] = {}
        found = []
        for variant in variants:
            for seed in range(seeds if variant == OURS else 1):
                name = f"seed{cell_seed}-fold{part.number}/{_file_name(variant)}-{seed}"
                keeper = Snapshots(self.folder / name, self._settings(variant, seed))
                path = self.folder / f"{name}.json"
                if path.exists():
                    outcome = json.loads(path.read_text(encoding="utf-8"))
                    keeper.require_same(path, outcome["settings"])
                    found.append(outcome)
                    continue
                bands = bands or self.maker.bands(part, cell_seed)
                if variant.strips not in made:
                    made[variant.strips] = Strips(bands, variant.strips, HeadTraining())
                strips = made[variant.strips]
                measured = measure(strips, variant, seed, self.reporter, self.interruption)
                outcome = {
                    "variant": variant.name,
                    "group": variant.group,
                    "cell_seed": cell_seed,
                    "fold": part.number,
                    "seed": seed,
                    **_plain(measured),
                    "settings": keeper.settings,
                }
                if variant == OURS:
                    cell_name = f"fold-{part.number}-seed-{seed}"
                    self._keep(self.folder / f"cells-{cell_seed}" / cell_name, strips, measured)
                draft = path.with_suffix(".draft")
                draft.write_text(json.dumps(outcome) + "\n", encoding="utf-8")
                draft.replace(path)
                found.append(outcome)
        return found

    def _settings(self, variant: Variant, seed: int) -> dict[str, Any]:
        config = self.maker.config.model_dump(mode="json", exclude={"name", "run", "evaluation", "bundle"})
        return {
            "variant": repr(variant),
            "seed": seed,
            "views": self.maker.views,
            "embedder": config,
            **self.maker.origin,
        }

    def _keep(self, folder: Path, strips: Strips, outcome: Outcome) -> None:
        """What the re-ranker's rivals need to be measured on the same lists."""
        made_by = {"cell": folder.name}
        save_features(folder / "validation", strips.unseen[0][0], made_by)
        save_features(folder / "test", strips.test, made_by)
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
    the spread over the seeds that of the seeds' means over the cells. `gain within` is that of mAP on the
    inner halves, on which everything is chosen.
    """
    made: dict[str, Any] = {"variant": outcomes[0]["variant"], "outcomes": len(outcomes)}
    for figure in SHOWN:
        made[f"first {figure}"] = float(np.mean([o["first"][figure] for o in outcomes]))
        made[figure] = float(np.mean([o["both"][figure] for o in outcomes]))
        gains = {
            (o["cell_seed"], o["fold"], o["seed"]): o["both"][figure] - o["first"][figure] for o in outcomes
        }
        made[f"gain {figure}"] = float(np.mean(list(gains.values())))
        for spread, key in (("cells", slice(0, 2)), ("seeds", slice(2, 3))):
            groups = sorted({cell[key] for cell in gains})
            means = [
                np.mean([gain for cell, gain in gains.items() if cell[key] == group]) for group in groups
            ]
            made[f"gain {figure} over {spread}"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
    before = np.concatenate([o["ranks_first"] for o in outcomes]) == 1
    after = np.concatenate([o["ranks_both"] for o in outcomes]) == 1
    made["won"], made["lost"] = int((~before & after).sum()), int((before & ~after).sum())
    made["mistaken"] = float(np.mean([o["mistaken"] for o in outcomes]))
    made["gain within"] = float(np.mean([_gain_within(o["choice"]) for o in outcomes]))
    return made


def _gain_within(choice: dict[str, Any]) -> float:
    """The gain in mAP on the inner halves, with what was chosen on them."""
    return float(choice["mAP"][str(choice["fusion"])] - choice["first_stage"])


def markdown(outcomes: Sequence[dict[str, Any]], notes: Sequence[str]) -> str:
    """A table for each group of variants, ours first in each, with notes below."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        by_name.setdefault(outcome["variant"], []).append(outcome)
    groups = {found[0]["variant"]: found[0]["group"] for found in by_name.values()}
    text: list[str] = []
    for group, title in GROUPS.items():
        names = [name for name in by_name if groups[name] in (group, "ours")]
        if len(names) < 2:
            continue
        rows = [line([o for o in by_name[name] if o["seed"] == 0]) for name in names]
        columns = ("mAP", "R1", "gain in mAP", "gain in R1", "won", "lost", "McNemar", "inner gain in mAP")
        text += ["", f"**{title}**", "", f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        if not any("first stage alone" in existing for existing in text):
            figures = f"{rows[0]['first mAP']:.2f} | {rows[0]['first R1']:.2f}"
            text.append(f"| first stage alone | {figures} |{' |' * (len(columns) - 2)}")
        for row in rows:
            cells = [f"{row['mAP']:.2f}", f"{row['R1']:.2f}"]
            cells += [_gain(row, figure) for figure in ("mAP", "R1")]
            cells += [str(row["won"]), str(row["lost"]), f"{mcnemar(row['won'], row['lost']):.2g}"]
            text.append(f"| {row['variant']} | {' | '.join(cells)} | {row['gain within']:+.2f} |")
        if group == "mining":
            text += [
                "",
                "Training lists whose first answer is wrong: "
                + "; ".join(f"{row['variant']}: {100 * row['mistaken']:.1f} %" for row in rows)
                + ".",
            ]
    return "\n".join([*text[1:], "", *(f"- {note}" for note in notes)]) + "\n"


def _gain(row: dict[str, Any], figure: str) -> str:
    spread = row[f"gain {figure} over cells"]
    return f"{row[f'gain {figure}']:+.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
