"""Sheets of ranked matches: the probes, what they search, and which of them are shown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from models.inputspec import InputSpec
from models.runtime import Embeddings, Models
from training.reporting.answer_sheet import RankedProbe, choose, draw, rank_all

# The grey of each vehicle's image before each camera.
GREYS = {("a", "east"): 10, ("a", "west"): 20, ("b", "east"): 120, ("b", "west"): 110, ("c", "west"): 18}


def embed(images: Any) -> Embeddings:
    """The grey as an angle, so that images of like greys are near."""
    angles = images.mean(axis=(1, 2, 3)) / 127.5 - 1  # of bytes: a whole turn would be 6 greys else
    descriptors = np.stack((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32)
    return Embeddings(descriptors, np.zeros((len(images), 1, 1), np.float16))


def distances(_probes: Any, candidates: Any, similarities: Any) -> Any:
    """The farthest of the candidates first."""
    return similarities[:, : candidates.shape[1]]


MODELS = cast(
    "Models",
    SimpleNamespace(
        embedder=SimpleNamespace(input=InputSpec(height=8, width=8), embed=embed),
        reranker=SimpleNamespace(candidates=2, distances=distances),
    ),
)


def write(folder: Path, *, vehicles: str, roles: dict[str, str] | None = None) -> Path:
    folder.mkdir()
    lines = ["path,vehicle_id,camera_id" + (",role" if roles else "")]
    for (vehicle, camera), grey in GREYS.items():
        if vehicle in vehicles:
            Image.new("RGB", (8, 8), (grey,) * 3).save(folder / f"{vehicle}_{camera}.png")
            lines.append(
                f"{vehicle}_{camera}.png,{vehicle},{camera}" + (f",{roles[camera]}" if roles else "")
            )
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    return manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write(tmp_path / "demo", vehicles="ab", roles={"east": "probe", "west": "gallery"})


def names(positions: Any, gallery: list[Path]) -> list[str]:
    return [gallery[position].stem for position in positions]


def test_probes_search_the_gallery_of_their_manifest(manifest: Path) -> None:
    rankings, gallery = rank_all(MODELS, manifest)
    assert [ranking.probe.stem for ranking in rankings] == ["a_east", "b_east"]
    assert names(rankings[0].first, gallery) == ["a_west", "b_west"]
    assert names(rankings[0].both, gallery) == ["b_west", "a_west"]
    assert names(rankings[0].correct, gallery) == ["a_west"]
    assert rankings[0].ranks() == (1, 2)


def test_among_more_vehicles_every_image_searches_the_other_cameras(manifest: Path, tmp_path: Path) -> None:
    rankings, gallery = rank_all(MODELS, manifest, write(tmp_path / "all", vehicles="abc"))
    first = {ranking.probe.stem: names(ranking.first, gallery) for ranking in rankings}
    assert first == {
        "a_east": ["c_west", "a_west", "b_west"],
        "b_east": ["b_west", "a_west", "c_west"],
        "a_west": ["a_east", "b_east"],
        "b_west": ["b_east", "a_east"],
    }


def test_a_manifest_of_a_spreadsheet_with_the_roles_of_a_data_set_is_searched_alike(manifest: Path) -> None:
    wanted = rank_all(MODELS, manifest)
    rows = [line.split(",") for line in manifest.read_text(encoding="utf-8").splitlines()]
    table = manifest.with_name("Tabelle.csv")
    lines = [f"{path};{vehicle};{role.replace('probe', 'query')}\r\n" for path, vehicle, _, role in rows]
    table.write_bytes("".join(lines).encode("utf-8-sig"))
    rankings, gallery = rank_all(MODELS, table)
    assert gallery == wanted[1]
    assert [names(ranking.both, gallery) for ranking in rankings] == [
        names(ranking.both, gallery) for ranking in wanted[0]
    ]


def test_queries_that_the_stages_rank_differently_are_shown_first() -> None:
    def ranking(name: str, before: int, after: int) -> RankedProbe:
        order = np.arange(3)
        return RankedProbe(Path(name), np.roll(order, before - 1), np.roll(order, after - 1), np.array([0]))

    rankings = [ranking("right", 1, 1), ranking("wrong", 2, 2), ranking("lost", 1, 2), ranking("won", 2, 1)]
    assert [chosen.probe.name for chosen in choose(rankings, 4)] == ["won", "lost", "wrong", "right"]


@pytest.mark.slow
def test_a_gallery_smaller_than_the_sheet_is_drawn(manifest: Path, tmp_path: Path) -> None:
    rankings, gallery = rank_all(MODELS, manifest)
    draw(rankings, gallery, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 100


def test_a_data_set_without_roles_is_searched_across_its_cameras(tmp_path: Path) -> None:
    own = write(tmp_path / "own", vehicles="abc")
    rankings, gallery = rank_all(MODELS, own)
    assert len(rankings) == len(gallery) == len(GREYS)
    for ranking in rankings:
        camera = ranking.probe.stem.split("_")[1]
        assert all(gallery[place].stem.split("_")[1] != camera for place in ranking.both)
    assert rank_all(MODELS, own.parent)[1] == gallery, "its folder is as good"
    some = write(tmp_path / "some", vehicles="ab")
    rankings, gallery = rank_all(MODELS, some, own)
    assert len(rankings) == len({ranking.probe for ranking in rankings}) == 4, "each image queries once"
    assert len(gallery) == len(set(gallery)) == len(GREYS)
