"""The panels of a dashboard as matplotlib draws them: time series, single values, bars and tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from benchmarks.panels import Panel, Query, Series

COLUMN_PX = 66
"""Width of one of the grid's 24 columns."""
CARD, EDGE, TEXT, FAINT = "#181b1f", "#2c3235", "#ccccdc", "#8e8e9a"
NAMED = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c", "blue": "#5794f2"}
PALETTE = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#f2495c", "#8ab8ff", "#ffa6b0", "#96d98d")
TICKS_S = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
SIZES = ("B", "KiB", "MiB", "GiB", "TiB")

Found = list[tuple[Query, list[Series]]]
"""A panel's queries, each with the series that Prometheus found."""
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


def _empty(area: Area, panel: Panel) -> None:
    axes = area.axes()
    axes.set_axis_off()
    words = panel.defaults.get("noValue", "No data")
    axes.text(0.5, 0.5, words, color=FAINT, size=11, ha="center", va="center", transform=axes.transAxes)


def _time_series(area: Area, panel: Panel, queried: Found) -> None:
    lines = [(series.name(query.legend), series.points) for query, found in queried for series in found]
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


def _stat(area: Area, panel: Panel, queried: Found) -> None:
    found = [series for _, all_series in queried for series in all_series]
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


def _bars(area: Area, panel: Panel, queried: Found) -> None:
    bars = [(query, series) for query, found in queried for series in found]
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


def _table(area: Area, panel: Panel, queried: Found) -> None:
    names = panel.raw["transformations"][0]["options"]["include"]["names"]
    rows = [[series.labels.get(name, "") for name in names] for _, found in queried for series in found]
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


DRAWERS: dict[str, Callable[[Area, Panel, Found], None]] = {
    "timeseries": _time_series,
    "stat": _stat,
    "bargauge": _bars,
    "table": _table,
}


def _date(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
