"""`lka-reid evaluate-shift` on tiny data: all conditions in one table, each image embedded once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from models.bundle import Bundle, write_manifest
from models.manifest import DataSource, Training
from tests.models.explainable import SmallBundle
from tests.training.bundles import write_colour_bundle
from tests.training.commands.test_train import TINY
from training.cli import app
from training.config.files import load_config
from training.datasets.layouts import open_dataset
from training.evaluation.shift.virtual_cameras import VIRTUAL_CAMERAS


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def bundle(tmp_path: Path, config: Path, tree: Path) -> Path:
    """Held out are the vehicles that the configuration's split measures."""
    return holding_out(write_colour_bundle(tmp_path / "bundle"), config, tree)


def holding_out(folder: Path, config: Path, tree: Path) -> Path:
    _, (task,) = load_config(config).data.split(open_dataset(tree))
    training = Training(
        data=DataSource(name="tree", sha256="0" * 64, vehicles=8),
        held_out_vehicles=tuple(sorted({image.vehicle_id for image in task.images()})),
        seed=0,
        embedder={},
    )
    manifest = Bundle.load(folder).manifest.model_copy(update={"training": training})
    write_manifest(folder, manifest)
    return folder


def rendered(folder: Path) -> Path:
    """Vehicles of two body designs before three test cameras and one training camera."""
    folder.mkdir()
    source = np.random.default_rng(1)
    lines = ["path,vehicle_id,camera_id,model"]
    for number in range(6):
        colour = source.integers(0, 255, 3)
        for camera in ("c01", "c05", "c02"):
            name = f"s{number}_{camera}.png"
            pixels = np.clip(colour + source.normal(0, 9, (24, 30, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name)
            # sedan-00 is a test design, sedan-01 is none.
            lines.append(f"{name},s{number},{camera},sedan-0{number % 2}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def classes(folder: Path) -> Path:
    folder.mkdir()
    source = np.random.default_rng(2)
    lines = ["path,vehicle_id"]
    for number in range(12):
        pixels = source.integers(0, 255, (24, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{number % 3}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate-shift", *map(str, words)], env={"COLUMNS": "200"})


def values(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "shift.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_every_condition_is_measured_and_the_table_says_where_it_comes_from(
    bundle: Path, config: Path, tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sets = ("--synthetic", rendered(tmp_path / "syn"), "--classes", classes(tmp_path / "cars"))
    words = ("--bundle", bundle, "--config", config, "--data", tree, *sets, "--runtime", "cpu", "--out", out)
    found = run(*words)
    assert found.exit_code == 0, found.output
    rows = values(out)["rows"]
    by_kind: dict[str, set[str]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], set()).add(row["condition"])
    assert {kind: len(names) for kind, names in by_kind.items()} == {
        "seen": 1,
        "virtual": 1 + len(VIRTUAL_CAMERAS),
        "mixed": 3,
        "degraded": 6,
        "synthetic": 1,
        "classes": 1,
    }
    assert {row["variant"] for row in rows if row["kind"] == "seen"} == {
        "first stage",
        "first stage, cameras normalised",
    }
    assert [row["variant"] for row in rows if row["kind"] == "classes"] == ["first stage"]
    seen = next(row for row in rows if row["condition"] == "seen cameras")
    assert (seen["queries"], seen["gallery"], seen["vehicles"]) == (8, 4, 4)
    assert values(out)["seed"] == 0
    assert values(out)["command"].startswith("lka-reid")
    text = (out / "table.md").read_text(encoding="utf-8")
    assert f"fingerprint {Bundle.load(bundle).fingerprint}" in text
    assert "| virtual: dark-blue | 8 | 4 |" in text
    assert values(out)["date"] in text
    assert "seen cameras" in found.output

    again = run(*words, "--only", "seen,classes", "--json")
    assert again.exit_code == 0, again.output
    assert "Embedding" not in again.output
    assert json.loads(again.stdout) == values(out)
    assert [row for row in values(out)["rows"] if row["kind"] == "seen"] == [
        row for row in rows if row["kind"] == "seen"
    ]
    assert {row["kind"] for row in values(out)["rows"]} == {"seen", "classes"}


@pytest.mark.slow
def test_both_stages_are_measured_where_the_bundle_has_two(
    config: Path, tree: Path, tmp_path: Path, small_bundle: SmallBundle
) -> None:
    bundle = holding_out(small_bundle(tmp_path / "bundle").path, config, tree)
    out = tmp_path / "out"
    found = run("--bundle", bundle, "--config", config, "--data", tree, "--only", "seen", "--out", out)
    assert found.exit_code == 0, found.output
    rows = {row["variant"]: row for row in values(out)["rows"]}
    assert list(rows) == [
        "first stage",
        "first stage, cameras normalised",
        "both stages",
        "both stages, cameras normalised",
    ]
    difference = rows["both stages, cameras normalised"]["difference"]
    assert difference["against"] == "first stage, cameras normalised"
    assert 0 <= difference["p"] <= 1
    assert "no virtual" not in found.output


def test_vehicles_that_the_bundle_was_trained_on_are_refused(
    bundle: Path, config: Path, tree: Path, tmp_path: Path
) -> None:
    other = ("--set", "data.split_seed=5")
    found = run("--bundle", bundle, "--config", config, *other, "--data", tree, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "is no held-out vehicle" in found.output
    assert not (tmp_path / "out").exists()


def test_nothing_to_measure_on_is_said(bundle: Path, tmp_path: Path) -> None:
    found = run("--bundle", bundle, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "give --data, --synthetic or --classes" in found.output


def test_an_unknown_condition_is_named_with_those_that_there_are(bundle: Path, tree: Path) -> None:
    found = run("--bundle", bundle, "--data", tree, "--only", "seen,virtuall")
    assert found.exit_code == 2
    assert "virtuall" in found.output
    assert "mixed" in found.output


@pytest.mark.slow
def test_each_fold_is_measured_by_an_embedder_that_has_not_seen_it(
    config: Path, tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("--config", config, "--data", tree, "--folds", "2", "--only", "seen,mixed", "--out", out)
    found = run(*words, "--set", "schedule.epochs=2")
    assert found.exit_code == 0, found.output
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "reduced: 2 folds by identity" in text
    (seen, normalised) = (row for row in values(out)["rows"] if row["kind"] == "seen")
    # All twelve vehicles, each once from either camera, in galleries of their own fold.
    assert (seen["queries"], seen["vehicles"], seen["gallery"]) == (24, 12, 6)
    assert normalised["variant"] == "first stage, cameras normalised"
    notes = [json.loads((out / f"fold-{n}.json").read_text(encoding="utf-8")) for n in (1, 2)]
    learned = [set(note["settings"]["vehicles"]) for note in notes]
    assert learned[0].isdisjoint(learned[1])
    assert len(learned[0] | learned[1]) == 12

    again = run(*words, "--set", "schedule.epochs=2")
    assert again.exit_code == 0, again.output
    assert "epoch" not in again.output.replace("2 epochs", "")
    other = run(*words, "--set", "schedule.epochs=3")
    assert other.exit_code == 2
    assert "was made with other settings" in other.output


def test_folds_need_vehicles_before_two_cameras(tmp_path: Path) -> None:
    found = run("--folds", "2", "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "give them as --data" in found.output


@pytest.mark.slow
def test_figures_are_written_into_the_manifest_and_the_bundle_stays_the_same(
    bundle: Path, config: Path, tree: Path, tmp_path: Path
) -> None:
    before = Bundle.load(bundle)
    sets = ("--data", tree, "--classes", classes(tmp_path / "cars"))
    asked = ("--bundle", bundle, "--config", config, "--runtime", "cpu", "--out", tmp_path / "out", "--write")
    found = run(*asked, *sets)
    assert found.exit_code == 0, found.output
    after = Bundle.load(bundle)
    assert after.fingerprint == before.fingerprint
    assert after.manifest.shift is not None
    wanted = [row for row in values(tmp_path / "out")["rows"] if row["embedder"] == "bundle"]
    rows = after.manifest.shift.rows
    assert [(row.condition, row.variant, row.R1.mean) for row in rows] == [
        (row["condition"], row["variant"], row["figures"]["R1"]["mean"]) for row in wanted
    ]
    assert after.manifest.accuracy == before.manifest.accuracy

    # Measured on less, it would take figures away.
    written, table = after.manifest.shift, (tmp_path / "out" / "table.md").read_bytes()
    found = run(*asked, "--data", tree)
    assert found.exit_code == 2
    assert "give --classes, too, or measure without --write" in found.output
    assert Bundle.load(bundle).manifest.shift == written
    assert (tmp_path / "out" / "table.md").read_bytes() == table


@pytest.mark.parametrize("part", [("--limit", "2"), ("--only", "seen")])
def test_a_part_is_not_written_into_a_manifest(
    bundle: Path, tree: Path, tmp_path: Path, part: tuple[str, str]
) -> None:
    found = run("--data", tree, "--bundle", bundle, *part, "--write", "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "--write is for a whole" in found.output
    assert Bundle.load(bundle).manifest.shift is None


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("seen,synthetic", "nothing to measure synthetic on; give --synthetic"),
        ("classes", "nothing to measure classes on; give --classes"),
    ],
)
def test_a_kind_that_is_named_and_has_no_data_is_refused(
    bundle: Path, config: Path, tree: Path, tmp_path: Path, only: str, message: str
) -> None:
    words = ("--data", tree, "--bundle", bundle, "--config", config, "--only", only)
    found = run(*words, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert message in found.output
    assert not (tmp_path / "out").exists()


def test_two_cameras_that_are_named_and_not_given_are_refused(bundle: Path, tmp_path: Path) -> None:
    words = ("--bundle", bundle, "--synthetic", rendered(tmp_path / "syn"), "--only", "occluded")
    found = run(*words, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "nothing to measure occluded on; give --data" in found.output


def test_folds_refuse_a_kind_that_they_do_not_measure(config: Path, tree: Path, tmp_path: Path) -> None:
    words = ("--config", config, "--data", tree, "--folds", "2", "--only", "seen,classes")
    found = run(*words, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "--only classes: with --folds there are seen, virtual" in found.output
