"""A picture of a Grafana dashboard, drawn from what a running Prometheus has recorded.

python -m benchmarks.dashboard [--url http://127.0.0.1:9090] [--minutes 15] [--dashboard service]

Grafana's own renderer needs a Grafana and a browser; this needs the dashboard's JSON and matplotlib. It asks
what each panel asks, and draws time series, single values, bars and tables in the places they have.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from benchmarks.panels import Panel, Prometheus, Query, Series, load, panels

COLUMN_PX, UNIT_PX, GAP_PX, DPI = 66, 30, 8, 100
PAGE, CARD, EDGE, TEXT, FAINT = "#111217", "#181b1f", "#2c3235", "#ccccdc", "#8e8e9a"
NAMED = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c", "blue": "#5794f2"}
PALETTE = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#f2495c", "#8ab8ff", "#ffa6b0", "#96d98d")
TICKS_S = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
SIZES = ("B", "KiB", "MiB", "GiB", "TiB")

Answer = list[tuple[Query, list[Series]]]
Line = tuple[str, list[tuple[float, float]]]


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as Grafana writes it: `120 ms`, `4.2 %`, `1.5 GiB`."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %" if decimals is None else f"{100 * value:.{decimals}f} %"
    if unit == "s":
        scale, name = next(
            (it for it in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if abs(value) >= it[0]),
            (1e-3, "ms"),
        )
        return f"{_rounded(value / scale, decimals)} {name}"
    if unit == "bytes":
        step = min(int(math.log(max(value, 1), 1024)), len(SIZES) - 1)
        return f"{_rounded(value / 1024**step, decimals)} {SIZES[step]}"
    suffix = {"reqps": " req/s", "ops": "/s"}.get(unit, "")
    return f"{_rounded(value, decimals)}{suffix}"


def _rounded(value: float, decimals: int | None) -> str:
    return (
        f"{value:,.{decimals}f}"
        if decimals is not None
        else f"{value:,.3g}"
        if abs(value) < 1000
        else f"{value:,.0f}"
    )


def ask(prometheus: Prometheus, panel: Panel, start: float, end: float, scrape_s: int) -> Answer:
    """What Prometheus answers to a panel's queries."""
    rate_s, range_s = 4 * scrape_s, round(end - start)
    step = max(scrape_s, (end - start) / 300)
    answer = []
    for query in panel.queries:
        promql = query.promql(rate_s, range_s)
        found = (
            prometheus.instant(promql, end) if query.instant else prometheus.range(promql, start, end, step)
        )
        answer.append((query, [series for series in found if series.points]))
    return answer


def draw(dashboard: str, prometheus: Prometheus, start: float, end: float, scrape_s: int) -> Figure:
    """The dashboard between two moments (unix s)."""
    content = load(dashboard)
    all_panels = list(panels(content))
    rows = max(y + h for _, y, _, h in (panel.place for panel in all_panels))
    width, height = 24 * COLUMN_PX + GAP_PX, (rows + 2) * UNIT_PX
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAGE)
    period = f"{_clock(start)} to {_clock(end)} UTC"
    figure.text(
        GAP_PX * 2 / width, 1 - 0.9 * UNIT_PX / height, content["title"], color=TEXT, size=15, va="center"
    )
    figure.text(
        1 - GAP_PX * 2 / width,
        1 - 0.9 * UNIT_PX / height,
        period,
        color=FAINT,
        size=10,
        va="center",
        ha="right",
    )
    for panel in all_panels:
        x, y, w, h = panel.place
        left, top = GAP_PX + x * COLUMN_PX, (y + 1.6) * UNIT_PX
        if panel.kind == "row":
            figure.text(
                (left + 2) / width,
                1 - (top + UNIT_PX / 2) / height,
                panel.title,
                color=TEXT,
                size=12,
                va="center",
            )
            continue
        right, bottom = left + w * COLUMN_PX - GAP_PX, top + h * UNIT_PX - GAP_PX
        _card(figure, left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height)
        figure.text(
            (left + 8) / width, 1 - (top + 13) / height, panel.title, color=TEXT, size=9.5, va="center"
        )
        box = (left + 8, top + 26, right - 8, bottom - 6)
        area = Area(figure, box, width, height)
        DRAWERS[panel.kind](area, panel, ask(prometheus, panel, start, end, scrape_s))
    return figure


class Area:
    """A panel's inside, in pixels from the page's top left corner."""

    def __init__(
        self, figure: Figure, box: tuple[float, float, float, float], width: float, height: float
    ) -> None:
        self._figure, self._box, self._width, self._height = figure, box, width, height

    def axes(self, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Axes:
        """Axes with these margins in pixels."""
        x0, y0, x1, y1 = self._box
        x0, y0, x1, y1 = x0 + left, y0 + top, x1 - right, y1 - bottom
        place = (x0 / self._width, 1 - y1 / self._height, (x1 - x0) / self._width, (y1 - y0) / self._height)
        axes = self._figure.add_axes(place, facecolor=CARD)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.tick_params(colors=FAINT, labelsize=8, length=0)
        return axes


def _card(figure: Figure, x: float, y: float, w: float, h: float) -> None:
    style = "round,pad=0,rounding_size=0.002"
    figure.add_artist(
        FancyBboxPatch((x, y), w, h, boxstyle=style, facecolor=CARD, edgecolor=EDGE, linewidth=0.8, zorder=-1)
    )


def _empty(area: Area, panel: Panel) -> None:
    axes = area.axes()
    axes.set_axis_off()
    words = panel.defaults.get("noValue", "No data")
    axes.text(0.5, 0.5, words, color=FAINT, size=11, ha="center", va="center", transform=axes.transAxes)


def _time_series(area: Area, panel: Panel, answer: Answer) -> None:
    lines = [(series.name(query.legend), series.points) for query, found in answer for series in found]
    if not lines:
        _empty(area, panel)
        return
    overrides = _overrides(panel)
    lines.sort(key=lambda line: line[0] in overrides)
    unit, custom = str(panel.defaults.get("unit", "short")), panel.defaults.get("custom", {})
    stacking = custom.get("stacking", {}).get("mode")
    width = panel.place[2] * COLUMN_PX - 76
    legend_rows = 1 + (sum(len(name) + 5 for name, _ in lines) * 6 > width)
    axes = area.axes(left=52, bottom=20 + 16 * legend_rows)
    if stacking:
        _stack(axes, lines, overrides, percent=stacking == "percent")
        unit = "percentunit" if stacking == "percent" else unit
    else:
        _lines(axes, lines, overrides, custom.get("fillOpacity", 0) / 100)
    low, high = axes.get_ylim()
    high = 1 if stacking == "percent" else panel.defaults.get("max", high + 0.06 * (high - low))
    axes.set_ylim(panel.defaults.get("min", low), high)
    axes.grid(axis="y", color=EDGE, linewidth=0.7)
    axes.set_axisbelow(True)
    if unit == "bytes":
        axes.yaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(max(high, 8) / 5))))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=unit == "short" and high >= 3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: shown(value, unit)))
    axes.margins(x=0)
    times = [at for _, points in lines for at, _ in points]
    _time_axis(axes, min(times), max(times), width // 90)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-44 / width, 0),
        bbox_transform=axes.transAxes,
        borderaxespad=2.0,
        ncols=math.ceil(len(lines) / legend_rows),
        frameon=False,
        labelcolor=TEXT,
        fontsize=8,
        handlelength=1.2,
        columnspacing=1.0,
        handletextpad=0.5,
    )


def _time_axis(axes: Axes, start: float, end: float, at_most: int) -> None:
    """Ticks at round times, as many as there is room for."""
    step = next((step for step in TICKS_S if (end - start) / step <= at_most), TICKS_S[-1])
    ticks = range(math.ceil(start / step) * step, math.floor(end) + 1, step)
    axes.set_xticks(ticks, [f"{_date(at):{'%H:%M:%S' if step < 60 else '%H:%M'}}" for at in ticks])


def _overrides(panel: Panel) -> dict[str, dict[str, Any]]:
    """A series' name -> what is special about it."""
    return {
        override["matcher"]["options"]: {rule["id"]: rule["value"] for rule in override["properties"]}
        for override in panel.raw["fieldConfig"]["overrides"]
    }


def _colour(place: int, special: Mapping[str, Any]) -> str:
    fixed = str(special.get("color", {}).get("fixedColor", PALETTE[place % len(PALETTE)]))
    return NAMED.get(fixed, fixed)


def _lines(
    axes: Axes, lines: Sequence[Line], overrides: Mapping[str, Mapping[str, Any]], fill: float
) -> None:
    for place, (name, points) in enumerate(lines):
        special = overrides.get(name, {})
        colour = _colour(place, special)
        dashes = (4, 3) if "custom.lineStyle" in special else (None, None)
        times, values = zip(*points, strict=True)
        axes.plot(times, values, color=colour, linewidth=1.3, dashes=dashes, label=name)
        if fill and not special:
            axes.fill_between(times, values, color=colour, alpha=fill, linewidth=0)


def _stack(
    axes: Axes, lines: Sequence[Line], overrides: Mapping[str, Mapping[str, Any]], *, percent: bool
) -> None:
    times = sorted({at for _, points in lines for at, _ in points})
    table = [[dict(points).get(at, 0.0) for at in times] for _, points in lines]
    if percent:
        totals = [sum(column) or 1.0 for column in zip(*table, strict=True)]
        table = [[value / total for value, total in zip(row, totals, strict=True)] for row in table]
    names = [name for name, _ in lines]
    colours = [_colour(place, overrides.get(name, {})) for place, name in enumerate(names)]
    axes.stackplot(times, table, labels=names, colors=colours, alpha=0.75, linewidth=0)


def _stat(area: Area, panel: Panel, answer: Answer) -> None:
    found = [series for _, all_series in answer for series in all_series]
    if not found:
        _empty(area, panel)
        return
    points = found[0].points
    value = points[-1][1]
    unit, decimals = str(panel.defaults.get("unit", "short")), panel.defaults.get("decimals")
    words = shown(value, unit, decimals)
    for mapping in panel.defaults.get("mappings", []):
        words = mapping["options"].get(f"{value:g}", {}).get("text", words)
    steps = panel.defaults["thresholds"]["steps"]
    colour = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    if panel.raw["options"]["graphMode"] == "area" and len(points) > 1:
        sparkline = area.axes(top=38)
        sparkline.set_axis_off()
        times, values = zip(*points, strict=True)
        sparkline.plot(times, values, color=NAMED[colour], linewidth=1)
        sparkline.fill_between(times, values, color=NAMED[colour], alpha=0.15, linewidth=0)
        sparkline.margins(x=0)
        sparkline.set_ylim(0, 1.2 * max(values) or 1)
    axes = area.axes()
    axes.set_axis_off()
    axes.patch.set_alpha(0)
    axes.text(0.5, 0.62, words, color=NAMED[colour], size=18, weight="bold", ha="center", va="center")


def _bars(area: Area, panel: Panel, answer: Answer) -> None:
    bars = [(query, series) for query, found in answer for series in found]
    if not bars:
        _empty(area, panel)
        return
    bars.sort(key=lambda bar: float(bar[1].labels.get("le", "0")))
    totals = [series.points[-1][1] for _, series in bars]
    values = [
        total - before if query.buckets else total
        for (query, _), total, before in zip(bars, totals, [0.0, *totals[:-1]], strict=True)
    ]
    axes = area.axes(left=36, right=50)
    names = [series.name(query.legend) for query, series in bars]
    top = max(values) or 1
    axes.barh(range(len(values)), [top] * len(values), color=EDGE, height=0.7)
    axes.barh(range(len(values)), values, color=NAMED["blue"], height=0.7)
    for place, value in enumerate(values):
        axes.text(1.02 * top, place, shown(round(value), "short"), color=TEXT, size=8, va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks([])
    axes.set_xlim(0, top)
    axes.invert_yaxis()


def _table(area: Area, panel: Panel, answer: Answer) -> None:
    names = panel.raw["transformations"][0]["options"]["include"]["names"]
    rows = [[series.labels.get(name, "") for name in names] for _, found in answer for series in found]
    if not rows:
        _empty(area, panel)
        return
    axes = area.axes()
    axes.set_axis_off()
    for row, cells in enumerate([names, *rows]):
        for column, cell in enumerate(cells):
            place = (column / len(names), 1 - (row + 0.5) / max(8, len(rows) + 1))
            colour = FAINT if row == 0 else TEXT
            axes.text(*place, cell, transform=axes.transAxes, color=colour, size=8.5, va="center")


DRAWERS: dict[str, Callable[[Area, Panel, Answer], None]] = {
    "timeseries": _time_series,
    "stat": _stat,
    "bargauge": _bars,
    "table": _table,
}


def _date(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _clock(at: float) -> str:
    return f"{_date(at):%Y-%m-%d %H:%M}"


def main() -> None:
    """Draw one dashboard."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:9090", help="where Prometheus answers")
    parser.add_argument("--minutes", type=float, default=15, help="how far back, from now")
    parser.add_argument("--dashboard", default="service", help="service or workers")
    parser.add_argument("--scrape-s", type=int, default=10, help="its scrape interval in seconds")
    parser.add_argument("--output", type=Path, default=Path("docs/dashboard.png"))
    chosen = parser.parse_args()
    mpl.rcParams["font.family"] = ["DejaVu Sans"]
    end = time.time()
    with Prometheus(chosen.url) as prometheus:
        figure = draw(chosen.dashboard, prometheus, end - 60 * chosen.minutes, end, chosen.scrape_s)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(chosen.output, facecolor=PAGE)


if __name__ == "__main__":
    main()
