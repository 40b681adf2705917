"""A Grafana dashboard as an image, drawn from what a running Prometheus has recorded.

python -m benchmarks.dashboard [--url http://127.0.0.1:9090] [--minutes 15] [--dashboard service]

Grafana's own renderer needs a Grafana and a browser; this needs the dashboard's JSON and matplotlib. It sends
each panel's queries and draws each panel in its place.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from benchmarks.charts import CARD, COLUMN_PX, DRAWERS, EDGE, FAINT, TEXT, Area, Found
from benchmarks.panels import Panel, Prometheus, load, panels

UNIT_PX, GAP_PX, DPI = 30, 8, 100
PAGE = "#111217"


def found_by(prometheus: Prometheus, panel: Panel, start: float, end: float, scrape_s: int) -> Found:
    """What Prometheus finds for a panel's queries."""
    rate_s, range_s = 4 * scrape_s, round(end - start)
    step = max(scrape_s, (end - start) / 300)
    all_found: Found = []
    for query in panel.queries:
        promql = query.promql(rate_s, range_s)
        found = (
            prometheus.instant(promql, end) if query.instant else prometheus.range(promql, start, end, step)
        )
        all_found.append((query, [series for series in found if series.points]))
    return all_found


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
        DRAWERS[panel.kind](area, panel, found_by(prometheus, panel, start, end, scrape_s))
    return figure


def _card(figure: Figure, x: float, y: float, w: float, h: float) -> None:
    style = "round,pad=0,rounding_size=0.002"
    figure.add_artist(
        FancyBboxPatch((x, y), w, h, boxstyle=style, facecolor=CARD, edgecolor=EDGE, linewidth=0.8, zorder=-1)
    )


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


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
