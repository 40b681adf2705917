"""A layout is registered once: recognition, commands, configurations and the page on data sets know it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.datasets.readers.test_readers import MAKERS
from training.cli import app
from training.config.files import ConfigError, load_config
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.layouts import open_dataset
from training.datasets.readers import LAYOUTS, Layout

PAGE = Path(__file__).parents[3] / "docs" / "datasets.md"


def is_pairs(root: Path) -> bool:
    return (root / "pairs.txt").is_file()


def read_pairs(root: Path) -> Dataset:
    images = []
    for line in (root / "pairs.txt").read_text(encoding="utf-8").splitlines():
        name, vehicle, camera = line.split()
        images.append(VehicleImage(root / name, vehicle, camera))
    return Dataset("pairs", root, images, [Task("all", images, images)], has_split=False)


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set in a layout of its own, which is registered for the test."""
    monkeypatch.setitem(LAYOUTS, "pairs", Layout(is_pairs, read_pairs))
    images = read_images(MAKERS["manifest"](tmp_path / "source"))
    lines = [f"{image.path} {image.vehicle_id} {image.camera_id}" for image in images]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def read_images(root: Path) -> list[VehicleImage]:
    return open_dataset(root).images()


@pytest.mark.parametrize("named", [["--layout", "pairs"], []])
def test_a_registered_layout_is_read_checked_and_configured(pairs: Path, named: list[str]) -> None:
    result = CliRunner().invoke(app, ["data", "check", str(pairs), *named])
    assert result.exit_code == 0, result.output
    assert "(pairs)" in result.output
    assert load_config(None, ["data.layout=pairs"]).data.layout == "pairs"


@pytest.mark.parametrize("name", MAKERS)
def test_a_path_has_one_layout_of_the_same_precedence(tmp_path: Path, name: str) -> None:
    root = MAKERS[name](tmp_path)
    rivals = [
        other
        for other, layout in LAYOUTS.items()
        if layout.precedence >= LAYOUTS[name].precedence and layout.recognises(root)
    ]
    assert rivals == [name]


def test_an_unknown_layout_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    names = "there are folder, manifest, manifest-anywhere, vehicleid, veri776, veriwild"
    with pytest.raises(DatasetError, match=f"unknown layout 'veri'; {names}"):
        open_dataset(tmp_path, "veri")
    with pytest.raises(ConfigError, match=f"data.layout: unknown layout 'veri'; {names}$"):
        load_config(None, ["data.layout=veri"])


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_on_the_page_on_data_sets(name: str) -> None:
    assert f"| `{name}` |" in PAGE.read_text(encoding="utf-8")
