"""`lka-reid explain`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from index import LocalGallery
from models.bundle import Bundle
from tests.index.statistics import calibrate_two
from tests.models.explainable import SmallBundle
from tests.service.command_line import Command
from tests.service.fakes import GREEN, RED, image_file


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, small_bundle: SmallBundle) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("explainable") / "bundle")


@pytest.fixture(autouse=True)
def _images(tmp_path: Path) -> None:
    for name, colour in {"red": RED, "green": GREEN}.items():
        (tmp_path / f"{name}.png").write_bytes(image_file(colour))


def test_it_draws_and_says_what_it_found(command: Command, bundle: Bundle) -> None:
    outcome = command("explain", "red.png", "green.png", "-o", "out.png", "--bundle", bundle.path)
    assert (outcome.code, outcome.err) == (0, "")
    lines = [line.split(maxsplit=1) for line in outcome.out.splitlines()]
    assert ["bundle", "small"] in lines
    assert ["figure", "out.png"] in lines
    for what in ("similarity", "re-rank distance", "nearest band", "farthest band", "probe looked"):
        assert any(line.startswith(what) for line in outcome.out.splitlines()), what
    with Image.open("out.png") as drawn:
        drawn.load()
        assert drawn.format == "PNG"
    numbers = json.loads(
        command("explain", "red.png", "green.png", "-o", "out.png", "--bundle", bundle.path, "--json").out
    )
    assert ["similarity", f"{numbers['similarity']:.4f}"] in lines
    assert (numbers["figure"], numbers["camera"]) == ("out.png", "off")
    assert len(numbers["strip_distances"]) == len(numbers["branches"])


def test_cameras_are_taken_out_as_a_gallery_does_it(command: Command, bundle: Bundle, tmp_path: Path) -> None:
    words = ("explain", "red.png", "green.png", "-o", "out.png", "--bundle", bundle.path)
    plain = command(*words).out
    folder, manifest = tmp_path / "gallery", bundle.manifest
    with LocalGallery.open(
        folder,
        fingerprint=bundle.fingerprint,
        descriptor_dim=manifest.descriptor_dim,
        strips_shape=manifest.strips,
        normalisation="on",
    ) as gallery:
        calibrate_two(gallery, manifest.descriptor_dim)
        cameras = ("--camera-id", "a", "--candidate-camera-id", "b")
        # While another process, here another gallery, has it open.
        normalised = command(*words, *cameras, "--data-dir", folder)
    assert normalised.code == 0

    def similarity(text: str) -> float:
        [line] = [line for line in text.splitlines() if line.startswith("similarity")]
        return float(line.split()[1])

    assert similarity(normalised.out) != similarity(plain)
    refused = command(*words, *cameras)
    assert (refused.code, "name its folder with --data-dir" in refused.err) == (2, True)
    assert command(*words, "--data-dir", tmp_path / "nowhere").code == 2
    for option in ("--camera-id", "--candidate-camera-id"):
        refused = command(*words, option, "..", "--data-dir", folder)
        assert (refused.code, "camera_id is '..', which is not" in refused.err) == (2, True)


def test_without_a_name_the_figure_is_called_after_both_images(command: Command, bundle: Bundle) -> None:
    assert command("explain", "red.png", "green.png", "--bundle", bundle.path).code == 0
    assert Path("explained-red-green.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("red.png", "text.jpg"), "text.jpg: these 7 bytes are no image that is known here; send JPEG"),
        (("missing.png", "red.png"), "missing.png: No such file"),
        (("red.png", "."), ".: Is a directory"),
        (("red.png", "green.png", "-o", "out.jpg"), "out.jpg: the figure is a PNG"),
        (("red.png", "green.png", "-o", "nowhere/out.png"), "nowhere/out.png: No such file"),
    ],
)
def test_a_wrong_path_is_one_clear_line(
    command: Command, bundle: Bundle, arguments: tuple[str, ...], message: str
) -> None:
    Path("text.jpg").write_bytes(b"no image"[:7])
    outcome = command("explain", *arguments, "--bundle", bundle.path)
    assert outcome.code == 2
    assert outcome.err.startswith(f"Error: {message}")
    assert outcome.err.count("\n") == 1
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    ("lacking", "message"),
    [("parts", "export it again with `lka-reid export`"), ("re-ranker", "no re-ranker")],
)
def test_a_bundle_that_cannot_explain_names_the_remedy(
    command: Command, tmp_path: Path, small_bundle: SmallBundle, lacking: str, message: str
) -> None:
    old = small_bundle(tmp_path / "old", explainable=lacking != "parts", rerank=lacking != "re-ranker")
    outcome = command("explain", "red.png", "green.png", "--bundle", old.path)
    assert outcome.code == 2
    assert outcome.err.startswith(f"Error: {old.path}: ")
    assert message in outcome.err
    assert not Path("explained-red-green.png").exists()
