"""Figures of a run: axes that can be read with little data, and labels that cover nothing."""

from __future__ import annotations

from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from training.datasets.image import VehicleImage
from training.evaluation.hardest import HardQuery
from training.progress import CheckRow, EpochRow
from training.reporting.plots import draw_curves, draw_hardest, draw_ranking_curves


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn, which no file is made of."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *_: Any, **__: Any) -> None:
        save(figure, BytesIO())  # which draws it
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def epoch(number: int) -> EpochRow:
    return EpochRow(number, 2, number, {"triplet": 1.0}, 4.5e-5 / number, 10.0, 1.0, 1.0)


@pytest.mark.parametrize("epochs", [1, 2])
def test_curves_of_few_epochs_have_whole_epochs_and_plain_rates(epochs: int, drawn: list[Figure]) -> None:
    draw_curves([epoch(number + 1) for number in range(epochs)], {"mAP": 70.0}, Path("curves.png"))
    (figure,) = drawn
    ticks = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert str(epochs) in ticks
    assert all(tick.strip("\N{MINUS SIGN}").isdecimal() for tick in ticks)
    rates = figure.axes[1].yaxis
    assert rates.get_offset_text().get_text() == ""
    assert "1e-05" in [label.get_text() for label in rates.get_ticklabels()]


def test_a_rerankers_rates_stand_at_their_ticks(drawn: list[Figure]) -> None:
    history = [CheckRow(step, 20, 1.0, None, rate, 1.0, 1.0, 1.0) for step, rate in ((10, 3e-6), (20, 1e-6))]
    draw_ranking_curves(history, {}, 20, Path("curves.png"))
    panel = drawn[0].axes[-1]
    assert panel.yaxis.get_offset_text().get_text() == ""
    assert "1e-06" in [label.get_text() for label in panel.get_yticklabels()]


def test_long_names_below_images_do_not_cover_each_other(tmp_path: Path, drawn: list[Figure]) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (40, 30), "grey").save(path)
    image = VehicleImage(path, "Müller M-XY 1234", "Einfahrt Süd links")
    hard = HardQuery(image, 0.2, 3, [image] * 5, [False] * 5, [0.5] * 5, image, 0.4)
    draw_hardest([hard, hard], tmp_path / "sheet.png", "First match wrong")
    labels = [axes.xaxis.label.get_window_extent() for axes in drawn[0].axes]
    assert len(labels) == 14
    assert not [1 for one, other in combinations(labels, 2) if one.overlaps(other)]
    images = [axes.get_window_extent() for axes in drawn[0].axes]
    assert not [1 for label in labels for shown in images if label.overlaps(shown)]
