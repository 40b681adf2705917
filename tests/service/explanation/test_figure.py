"""The figure of an explanation, and its words."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from models.manifest import RerankerEntry, Threshold
from service.explanation import colours, lettering, panels, words
from service.explanation.figure import Layout, Pair, draw, png
from tests.service.explanation.samples import BRANCHES, explanation, manifest, pair


@pytest.mark.parametrize(
    ("bands", "branches", "size"),
    [
        (4, BRANCHES, (64, 64)),
        (8, BRANCHES, (64, 64)),
        (2, ("CONV1",), (64, 32)),
        (3, tuple(f"B{number}" for number in range(6)), (32, 64)),
    ],
)
def test_the_figure_is_a_whole_png_of_the_size_that_the_bundle_asks_for(
    bands: int, branches: tuple[str, ...], size: tuple[int, int]
) -> None:
    shown = explanation(bands=bands, branches=branches)
    described = manifest(width=size[0], height=size[1])
    with Image.open(io.BytesIO(png(draw(shown, pair(), described)))) as figure:
        figure.load()
        assert (figure.format, figure.mode) == ("PNG", "RGB")
        assert figure.size == Layout.of(shown, described).size
        # Nothing is drawn up to the edge, so nothing was cut off there.
        inside = figure.crop((8, 8, figure.width - 8, figure.height - 8))
        framed = Image.new("RGB", figure.size, colours.PAPER)
        framed.paste(inside, (8, 8))
        assert ImageChops.difference(figure, framed).getbbox() is None


def test_another_candidate_gives_another_figure() -> None:
    shown, described = explanation(), manifest()
    same, again = draw(shown, pair(), described), draw(shown, pair(), described)
    other = draw(shown, pair(candidate=(10, 10, 240)), described)
    assert same.tobytes() == again.tobytes()
    changed = ImageChops.difference(same, other).getbbox()
    assert changed is not None
    probe_side = (0, 0, Layout.of(shown, described).image[0], Layout.of(shown, described).maps - 60)
    assert ImageChops.difference(same.crop(probe_side), other.crop(probe_side)).getbbox() is None


def test_names_of_any_length_and_script_fit() -> None:
    described = manifest("name " * 60)
    named = Pair(pair().probe, pair().candidate, "x" * 500, "漢字/\x00\n" + "y" * 500)
    assert draw(explanation(), named, described).size == draw(explanation(), pair(), manifest()).size


def ribbons(attention: list[list[float]]) -> tuple[int, Image.Image]:
    sheet = Image.new("RGB", (200, 200), colours.PAPER)
    drawn = panels.ribbons(sheet, (0, 0), sheet.size, np.array(attention))
    return drawn, sheet


def test_a_ribbon_joins_the_bands_whose_attention_exceeds_an_even_share() -> None:
    drawn, sheet = ribbons([[0.1, 0.9], [0.5, 0.5]])
    assert drawn == 1
    assert sheet.getpixel((2, 50)) != colours.PAPER
    assert sheet.getpixel((197, 150)) != colours.PAPER
    assert sheet.getpixel((2, 150)) == colours.PAPER
    assert sheet.getpixel((197, 50)) == colours.PAPER


def test_more_attention_makes_a_wider_ribbon() -> None:
    def ink(row: list[float]) -> int:
        _, sheet = ribbons([row, [0.0, 1.0]])
        upper = np.asarray(sheet)[:100, :10]
        return int((upper != 255).any(axis=2).sum())

    assert ink([0.9, 0.1]) > ink([0.7, 0.3]) > ink([0.55, 0.45]) > ink([0.5, 0.5]) == 0


def test_even_attention_looks_even_and_is_called_so() -> None:
    shown = explanation(sharpness=0.001)
    attention = shown.attention("probe")
    drawn, sheet = ribbons(shown.band_attention("probe").tolist())
    assert drawn == 0
    assert sheet.getcolors() == [(sheet.width * sheet.height, colours.PAPER)]
    assert panels.ratio_span(attention) == panels.LEAST_RATIO
    assert "That is even: the re-ranker takes" in words.spread(attention, attention, manifest())
    lines = dict(words.summary(shown, manifest()))
    assert lines["probe looked"].startswith("evenly")
    assert "No band stands out" in words.even(shown.band_attention("probe"))


def test_a_re_ranker_that_compares_along_its_attention_says_so() -> None:
    shown = explanation(sharpness=0.001)
    entry = RerankerEntry(candidates=10, config={"distance": "attention"})
    along = manifest().model_copy(update={"reranker": entry})
    assert "the strips that it looks at" in words.strips(shown, along)
    assert "the strips that it looks at" not in words.strips(shown, manifest())
    attention = shown.attention("probe")
    assert "That is even: the re-ranker compares every strip" in words.spread(attention, attention, along)


def test_strong_attention_is_named() -> None:
    shown = explanation()
    heads = np.full((1, 16, 16), 1 / 32, dtype=np.float32)
    heads[0, 6, 13] = 17 / 32
    lines = dict(words.summary(dataclasses.replace(shown, probe_attention=heads), manifest()))
    assert lines["probe looked"] == "most from L2 band 3 at H2 band 2: 53.12 %, where even is 6.25 %"


def test_the_nearest_and_the_farthest_band_are_named() -> None:
    distances = np.array([[0.5, 0.2, 0.9, 0.4]] * 4, dtype=np.float32)
    lines = words.summary(dataclasses.replace(explanation(), strip_distances=distances), manifest())
    assert ("nearest band", "2 of 4 from the top, 0.2000") in lines
    assert ("farthest band", "3 of 4 from the top, 0.9000") in lines
    assert ("re-rank distance", "1.0000") in lines
    assert ("  similarity", "0.5000  (2 x (1 - similarity))") in lines


@pytest.mark.parametrize(("limit", "word"), [(0.75, "a match"), (0.76, "no match")])
def test_a_threshold_s_verdict_is_reported(limit: float, word: str) -> None:
    threshold = Threshold(
        similarity=limit,
        false_match_rate=0.01,
        false_match_interval=(0.0, 0.02),
        true_match_rate=0.9,
        measured_on="images",
        fingerprint="0" * 64,
    )
    line = words.sum_line(explanation(), manifest().model_copy(update={"threshold": threshold}))
    assert line.endswith(f"the threshold {limit:.3f}: {word}")
    assert "threshold" not in words.sum_line(explanation(), manifest())


@pytest.mark.parametrize("scale", ["distance", "activation"])
def test_more_is_always_darker_or_always_brighter(scale: str) -> None:
    pixels = colours.shade(np.linspace(0, 1, 50), scale).astype(float)
    brightness = np.diff(pixels @ [0.299, 0.587, 0.114])
    assert (brightness <= 0.5).all() or (brightness >= -0.5).all()


def test_beyond_a_scale_s_ends_its_ends_count() -> None:
    assert colours.colour(-1, "distance") == colours.colour(0, "distance")
    assert colours.colour(7, "distance") == colours.colour(1, "distance")


def test_text_is_cut_in_its_middle_and_shows_what_the_font_has() -> None:
    assert lettering.printable("car 漢\n1.jpg") == "car ??1.jpg"
    assert lettering.printable("Hof-Größe, Süd, Ełk e\u0301") == "Hof-Grosse, Sud, E?k e"
    assert lettering.fit("\u0301" * 3000, 13, 60) == "..."
    short = lettering.fit("a" * 100 + "end.jpg", 13, 120)
    assert short.startswith("aaa")
    assert short.endswith("end.jpg")
    assert "..." in short
    assert lettering.width(short, 13) <= 120
    lines = lettering.wrap("one two three four five six", 13, 60)
    assert " ".join(lines) == "one two three four five six"
    assert all(lettering.width(line, 13) <= 60 for line in lines)
    sheet = Image.new("RGB", (200, 200), colours.PAPER)
    below = lettering.paragraph(ImageDraw.Draw(sheet), (0, 0), "one two three four five six", 60)
    assert below == pytest.approx(len(lines) * round(1.4 * 13))


@pytest.mark.parametrize(
    "text", ["plate 3 at the northern gate.jpg", "iiiiWWWW" * 40, "\u00e4\u00f6 \u6f22" * 90]
)
@pytest.mark.parametrize("room", [0, 9, 40, 120, 360])
def test_of_a_text_that_is_cut_as_much_is_left_as_there_is_room_for(text: str, room: int) -> None:
    def cut(kept: int) -> str:
        return f"{whole[: (kept + 1) // 2]}...{whole[len(whole) - kept // 2 :]}"

    whole = lettering.printable(text)
    fitting = [kept for kept in range(2, len(whole)) if lettering.width(cut(kept), 13) <= room]
    expected = whole if lettering.width(whole, 13) <= room else cut(fitting[-1]) if fitting else "..."
    assert lettering.fit(text, 13, room) == expected


def test_a_long_name_is_measured_a_few_times_and_not_at_each_of_its_lengths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[int] = []

    def width(text: str, _size: int) -> float:
        measured.append(len(text))
        return 7.0 * len(text)

    monkeypatch.setattr(lettering, "width", width)
    assert lettering.fit("a" * 50_000 + "b" * 50_000, 13, 350) == "a" * 24 + "..." + "b" * 23
    assert sum(measured) < 20_000


def test_a_grid_of_parts_is_named_by_its_columns() -> None:
    grid = explanation(columns=("C1", "C2", "C3"))
    described = manifest()
    figure = draw(grid, pair(), described)
    assert figure.size == Layout.of(grid, described).size
    assert "a band of one of the columns C1 (left) to C3" in words.strips(grid, described)
    assert any("C" in value and "band" in value for _, value in words.summary(grid, described))
