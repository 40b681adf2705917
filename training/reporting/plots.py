"""Figures of a run: its curves, its CMC, and its hardest queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from training.datasets.image import VehicleImage
from training.evaluation.hardest import HardQuery
from training.evaluation.measurement import Measurement
from training.evaluation.metrics import cmc
from training.progress import CheckRow, EpochRow
from training.reporting.answer_sheet import CORRECT, PROBE, WRONG, above_images, show_image

COLOURS = ("#2166ac", "#d6604d", "#1a9850", "#762a83", "#bf812d")
STYLES = ("-", "--", ":")
DPI = 130
NAME = 14
"""Letters of a vehicle's or a camera's name."""
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
"""Every tick by itself: no factor or offset stands elsewhere."""
LONGEST = 50
"""Ranks of a CMC curve."""
WATCHED = {"bottleneck": "information bottleneck,\nnats", "channels": "share of channels\nselected"}
"""Kinds of watched figures, and what their axes say."""
TICKS = (1, 5, 10, 20, 30, 40, 50)


def draw_curves(history: Sequence[EpochRow], final: dict[str, float], out: Path, title: str = "") -> None:
    """Losses, learning rate and accuracy over the epochs, below each other.

    Args:
        history: all epochs.
        final: accuracy after the last one, by name.
        out: the PNG.
        title: above it, see `title_of`.
    """
    epochs = [row.epoch for row in history]
    measured = {row.epoch: row.measured for row in history if row.measured}
    if final:
        measured[epochs[-1]] = final
    panels = 3 if measured else 2
    figure = Figure(figsize=(7.5, 2.5 * panels), dpi=DPI, layout="constrained")
    axes = list(figure.subplots(panels, 1, sharex=True))
    totals = [sum(row.losses.values()) for row in history]
    lines = {name: [row.losses[name] for row in history] for name in history[0].losses}
    if len(lines) > 1:
        axes[0].plot(epochs, totals, color="#444444", linewidth=2, label="all", marker=_marker(epochs))
    for (name, values), colour in zip(lines.items(), COLOURS, strict=False):
        axes[0].plot(epochs, values, color=colour, label=name.replace("_", " "), marker=_marker(epochs))
    axes[0].set_ylabel("loss, weighted")
    # The bound of RIB may be negative.
    axes[0].set_ylim(bottom=None if any(min(values) < 0 for values in lines.values()) else 0)
    axes[1].plot(epochs, [row.learning_rate for row in history], color="#444444", marker=_marker(epochs))
    axes[1].set_ylabel("learning rate")
    axes[1].yaxis.set_major_formatter(PLAIN)
    axes[1].set_ylim(bottom=0)
    if measured:
        names = list(next(iter(measured.values())))
        for name, colour in zip(names, COLOURS, strict=False):
            points = {epoch: values[name] for epoch, values in measured.items() if name in values}
            axes[2].plot(list(points), list(points.values()), color=colour, marker="o", ms=4, label=name)
        axes[2].set_ylabel("accuracy, %")
        axes[2].set_ylim(0, 102)
    for panel in axes:
        _plain(panel)
        if panel.get_legend_handles_labels()[1]:
            panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    _count(axes[-1], "epoch", epochs)
    _save(figure, out, title)


def draw_watched(history: Sequence[EpochRow], out: Path, title: str = "") -> None:
    """What else a training has watched over its epochs, a panel for each kind; nothing where that is nothing.

    Args:
        history: all epochs; a figure's kind is the first word of its name.
        out: the PNG.
        title: above it, see `title_of`.
    """
    lines: dict[str, dict[int, float]] = {}
    for row in history:
        for name, value in row.figures.items():
            lines.setdefault(name, {})[row.epoch] = value
    kinds = list(dict.fromkeys(name.split(" ", 1)[0] for name in lines))
    if not kinds:
        return
    figure = Figure(figsize=(7.5, 2.8 * len(kinds)), dpi=DPI, layout="constrained")
    panels = figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
    for panel, kind in zip(panels, kinds, strict=True):
        own = {n.split(" ", 1)[-1]: points for n, points in lines.items() if n.split(" ", 1)[0] == kind}
        branches = sorted({name.split(" ")[-1] for name in own})
        for name, points in own.items():
            panel.plot(
                list(points),
                list(points.values()),
                color=COLOURS[branches.index(name.split(" ")[-1]) % len(COLOURS)],
                linestyle="--" if name.startswith("estimate") else "-",
                marker=_marker(list(points)),
                label=f"branch {name}" if name.isdecimal() else name,
            )
        panel.set_ylabel(WATCHED.get(kind, kind))
        _plain(panel)
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    _count(panels[-1], "epoch", [row.epoch for row in history])
    _save(figure, out, title)


def draw_losses(curves: Mapping[str, Sequence[tuple[int, float]]], out: Path, title: str = "") -> None:
    """Losses of several trainings over their steps, as shares of what each began with.

    Args:
        curves: (step, loss) of each, by name.
        out: the PNG.
        title: of the figure.
    """
    figure = Figure(figsize=(7.5, 3.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        steps, losses = [step for step, _ in points], [loss / points[0][1] for _, loss in points]
        turn, own = divmod(number, len(COLOURS))
        axes.plot(steps, losses, color=COLOURS[own], linestyle="--" if turn else "-", label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss / loss at the start")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    _plain(axes)
    _save(figure, out, title)


def draw_ranking_curves(
    history: Sequence[CheckRow],
    validation: Mapping[int, float],
    kept: int,
    out: Path,
    title: str = "",
) -> None:
    """A re-ranker's losses and learning rate over its steps, below each other.

    Args:
        history: every look at the losses.
        validation: step -> ranking loss on the validation lists; may go beyond the steps that were trained.
        kept: the step whose weights are used.
        out: the PNG.
        title: above it, see `title_of`.
    """
    steps = [row.step for row in history]
    lines = {
        "training loss": dict(zip(steps, [row.loss for row in history], strict=True)),
        "ranking loss,\nvalidation": dict(validation),
        "learning rate": dict(zip(steps, [row.learning_rate for row in history], strict=True)),
    }
    shown = {name: points for name, points in lines.items() if points}
    figure = Figure(figsize=(7.5, 2.5 * max(1, len(shown))), dpi=DPI, layout="constrained")
    panels = figure.subplots(max(1, len(shown)), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, points), colour in zip(panels, shown.items(), COLOURS, strict=False):
        panel.plot(list(points), list(points.values()), color=colour, marker=_marker(list(points)))
        panel.set_ylabel(name)
        panel.yaxis.set_major_formatter(PLAIN)
    for panel in panels:
        panel.axvline(kept, color="#444444", linewidth=1, linestyle=":", label=f"kept: step {kept:,}")
        _plain(panel)
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1.0), frameon=False, fontsize=9)
    _count(panels[-1], "step", [*steps, *validation, kept])
    _save(figure, out, title)


def _count(axes: Axes, name: str, values: Sequence[int]) -> None:
    """An axis of whole numbers, also where there is a single one."""
    axes.set_xlabel(name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(set(values)) == 1:
        axes.set_xlim(values[0] - 1, values[0] + 1)


def _marker(epochs: Sequence[int]) -> str:
    """Points where a line alone would hide how few there are."""
    return "o" if len(epochs) < 5 else ""


def draw_cmc(found: Mapping[str, Sequence[Measurement]], out: Path, title: str = "") -> None:
    """The cumulative matching characteristic as steps, a line for each row of the results and each task."""
    several = any(len(of_row) > 1 for of_row in found.values())
    measured = {
        f"{row}, {each.task.name}" if several else row: each
        for row, of_row in found.items()
        for each in of_row
    }
    figure = Figure(figsize=(6.5, 4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    lowest, longest = 100.0, 1
    for number, (name, each) in enumerate(measured.items()):
        last = min(LONGEST, max(2, each.result.gallery - 1))
        ranks = range(1, last + 1)
        curve = cmc(each.results, ranks)
        axes.plot(
            ranks,
            [curve[rank] for rank in ranks],
            color=COLOURS[number % len(COLOURS)],
            linestyle=STYLES[number // len(COLOURS) % len(STYLES)],
            # Thinner from one to the next: where two are equal, both are seen.
            linewidth=max(1.5, 5 - 2 * number),
            drawstyle="steps-post",
            marker="o" if len(ranks) < 20 else "",
            ms=4,
            label=f"{name}: R1 {curve[1]:.1f}, mAP {each.figures()['mAP']:.1f}",
        )
        lowest, longest = min(lowest, curve[1]), max(longest, last)
    axes.set_xlabel("rank")
    axes.set_ylabel("queries with a correct match, %")
    axes.set_ylim(max(0, lowest - 10), 101)
    axes.set_xlim(left=1)
    axes.set_xticks([rank for rank in TICKS if rank <= longest])
    # Below the axes: a curve may run anywhere inside.
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14), frameon=False, fontsize=9)
    _plain(axes)
    _save(figure, out, title)


def draw_hardest(queries: Sequence[HardQuery], out: Path, title: str = "") -> None:
    """A line for each query: its image, the first matches, and the first correct one.

    Below each image stand its vehicle and camera, and its similarity to the query.

    Args:
        queries: at least one.
        out: the PNG.
        title: above the sheet: of what it is.
    """
    shown = max(len(query.matches) for query in queries)
    columns = shown + 3
    figure = Figure(figsize=(1.5 * columns, 2.3 * len(queries) + 0.6), dpi=110)
    grid = figure.add_gridspec(
        len(queries), columns, width_ratios=[1.15, 0.2, *[1] * shown, 1.15], wspace=0.08, hspace=0.6
    )
    for line, hard in enumerate(queries):
        top = line == 0
        axes = figure.add_subplot(grid[line, 0])
        label = _below(hard.query, f"AP {100 * hard.precision:.1f} %")
        show_image(axes, hard.query.path, "query" if top else "", PROBE, label)
        for place, (match, correct) in enumerate(zip(hard.matches, hard.correct, strict=True)):
            show_image(
                figure.add_subplot(grid[line, 2 + place]),
                match.path,
                "first matches" if top and place == 0 else "",
                CORRECT if correct else WRONG,
                _below(match, f"{place + 1}{' ✓' if correct else ''}  {hard.similarities[place]:.3f}"),
            )
        last = figure.add_subplot(grid[line, columns - 1])
        show_image(
            last,
            hard.first_correct.path,
            "first correct" if top else "",
            CORRECT,
            _below(hard.first_correct, f"rank {hard.best}  {hard.similarity:.3f}"),
        )
    if title:
        above_images(figure, title)
    figure.savefig(out, bbox_inches="tight", facecolor="white")


def _below(image: VehicleImage, figures: str) -> str:
    """Lines below an image: its vehicle, its camera, and figures; long names are cut to its width."""
    names = [
        name if len(name) <= NAME else f"{name[: NAME - 1]}…" for name in (image.vehicle_id, image.camera_id)
    ]
    return "\n".join([*(name for name in names if name), figures])


def _save(figure: Figure, out: Path, title: str) -> None:
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.savefig(out, facecolor="white", bbox_inches="tight")


def _plain(axes: Axes) -> None:
    axes.grid(visible=True, color="#e0e0e0", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
