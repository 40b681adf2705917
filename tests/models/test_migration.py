"""A bundle of format 1 comes to format 2 with its models unchanged, and proves what it supersedes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.bundle import MANIFEST, Bundle, BundleError, write_manifest
from models.manifest import BOTH_STAGES, EMBEDDER, FIRST_STAGE, FileEntry
from models.migration import migrate
from models.superseded import superseded_name
from tests.models import format_1
from tests.models.format_1 import write_format_1


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_of_format_1_is_refused_with_the_command_that_brings_it_over(tmp_path: Path) -> None:
    folder = write_format_1(tmp_path / "old")
    with pytest.raises(BundleError, match=r"is of format 1, .* `lka-reid bundle migrate .*old`"):
        Bundle.load(folder)


def test_the_models_stay_and_the_old_manifest_is_kept(tmp_path: Path) -> None:
    folder = write_format_1(tmp_path / "old")
    before = contents(folder)
    done = migrate(folder)
    after = contents(folder)
    kept = superseded_name(done.superseded)
    assert after == before | {kept: before[MANIFEST], MANIFEST: after[MANIFEST]}
    assert done.left_out == []
    assert done.bundle.supersedes == (done.superseded,)
    assert Bundle.load(folder) == done.bundle
    with pytest.raises(BundleError, match="is not of format 1; there is nothing to migrate"):
        migrate(folder)


def test_a_migration_that_was_killed_before_its_end_is_run_again(tmp_path: Path) -> None:
    folder = write_format_1(tmp_path / "old")
    done = migrate(shutil.copytree(folder, tmp_path / "other"))
    kept = superseded_name(done.superseded)
    shutil.copyfile(folder / MANIFEST, folder / kept)
    assert migrate(folder).bundle.manifest == done.bundle.manifest


def test_the_default_bundles_training_and_accuracy_are_typed(tmp_path: Path) -> None:
    manifest = migrate(write_format_1(tmp_path / "old")).bundle.manifest
    training, accuracy = manifest.training, manifest.accuracy
    assert training is not None
    assert (training.data.vehicles, training.data.sha256_of) == (324, "manifest file")
    assert len(training.held_out_vehicles) == 81
    assert len(training.commands) == 2
    assert training.embedder["schedule"]["epochs"] == 48
    assert training.reranker is not None
    assert training.reranker.configuration["training"]["steps"] == 120
    assert accuracy is not None
    assert [(row.name, row.protocol, row.won) for row in accuracy.rows] == [
        ("ResNet-50, ImageNet only, 256 px", "cross-camera", None),
        ("ResNet-50, fine-tuned, 160 px", "cross-camera", None),
        (FIRST_STAGE, "cross-camera", None),
        (BOTH_STAGES, "cross-camera", 0),
    ]
    zero_shot = accuracy.rows[0]
    assert (zero_shot.queries, zero_shot.mAP, zero_shot.cmc) == (162, 70.0, {1: 59.3, 5: 82.7, 10: 92.0})
    assert zero_shot.by_querying_camera["cam2"].cmc[1] == 51.9


def test_an_exchanged_second_stage_is_named(tmp_path: Path) -> None:
    old = format_1.written_for_the_default()["training"]
    second = {"shape": {"heads": 1}, "trained": False, "command": "exchange", "embedder_of": "e" * 64}
    folder = write_format_1(tmp_path / "old", training=old | {"second_stage": second})
    training = migrate(folder).bundle.manifest.training
    assert training is not None
    assert training.reranker is not None
    assert (training.reranker.configuration, training.reranker.trained) == ({"shape": {"heads": 1}}, False)
    assert training.commands == (*old["commands"], "exchange")


def test_an_embedders_training_and_accuracy_are_typed(tmp_path: Path) -> None:
    folder = write_format_1(
        tmp_path / "old", training=format_1.OF_EMBEDDER, accuracy=format_1.ACCURACY_OF_EMBEDDER
    )
    done = migrate(folder)
    training, accuracy = done.bundle.manifest.training, done.bundle.manifest.accuracy
    assert done.left_out == []
    assert training is not None
    assert (training.seed, training.data.images, training.weights, training.reranker) == (3, 12, None, None)
    assert training.embedder == {"name": "veri776", "seed": 3}
    assert training.held_out_vehicles == ()
    assert accuracy is not None
    assert [row.name for row in accuracy.rows] == [FIRST_STAGE, "with side information"]
    assert accuracy.rows[0].protocol is None
    assert (accuracy.rows[0].mAP, accuracy.rows[0].cmc[5], accuracy.rows[0].gallery) == (71.25, 100.0, 12)


def test_a_rerankers_training_and_accuracy_are_typed(tmp_path: Path) -> None:
    folder = write_format_1(
        tmp_path / "old", training=format_1.OF_RERANKER, accuracy=format_1.ACCURACY_OF_RERANKER
    )
    done = migrate(folder)
    training, accuracy = done.bundle.manifest.training, done.bundle.manifest.accuracy
    assert done.left_out == []
    assert training is not None
    assert training.embedder == {"name": "veri776", "seed": 3}
    assert training.reranker is not None
    assert training.reranker.configuration == {"name": "reranker"}
    assert training.reranker.checkpoint["step"] == 40
    assert accuracy is not None
    assert [(row.name, row.won, row.lost) for row in accuracy.rows] == [
        (FIRST_STAGE, None, None),
        (BOTH_STAGES, 2, 1),
    ]


def test_what_has_no_known_shape_is_left_out_and_said(tmp_path: Path) -> None:
    folder = write_format_1(tmp_path / "old", training={"data": "mine"}, accuracy={"results": {"ours": 99}})
    done = migrate(folder)
    assert done.left_out == ["training", "accuracy"]
    assert (done.bundle.manifest.training, done.bundle.manifest.accuracy) == (None, None)


def threshold(fingerprint: str) -> dict[str, Any]:
    return {
        "similarity": 0.7,
        "false_match_rate": 0.001,
        "false_match_interval": [0.0005, 0.002],
        "true_match_rate": 0.9,
        "measured_on": "vehicles",
        "fingerprint": fingerprint,
    }


def test_the_threshold_is_carried_over(tmp_path: Path) -> None:
    old = migrate(write_format_1(tmp_path / "first")).superseded
    folder = write_format_1(tmp_path / "second", threshold=threshold(old))
    done = migrate(folder)
    assert done.superseded == old
    assert done.bundle.manifest.threshold is not None
    assert done.bundle.manifest.threshold.similarity == 0.7
    assert done.bundle.manifest.threshold.fingerprint == done.bundle.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": threshold("f" * 64)}, "threshold: was measured with another bundle"),
        ({"threshold": []}, "threshold: Input should be a valid dictionary"),
        ({"descriptor_dim": 0}, "descriptor_dim: Input should be greater than 0"),
    ],
)
def test_a_manifest_of_format_1_that_was_of_no_use_stays_as_it_is(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = write_format_1(tmp_path / "old", **changes)
    before = contents(folder)
    with pytest.raises(BundleError, match=rf"manifest\.json: {message}"):
        migrate(folder)
    assert contents(folder) == before


def test_a_manifest_without_an_embedder_is_not_brought_over(tmp_path: Path) -> None:
    folder = write_format_1(tmp_path / "old")
    written = json.loads((folder / MANIFEST).read_bytes())
    del written["files"][EMBEDDER]
    (folder / MANIFEST).write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json: lists no embedder\.onnx"):
        migrate(folder)


def test_a_changed_model_is_not_brought_over(tmp_path: Path) -> None:
    folder = write_format_1(tmp_path / "old")
    (folder / EMBEDDER).write_bytes(b"NO MODEL")
    before = contents(folder)
    with pytest.raises(BundleError, match=r"embedder\.onnx: its SHA-256 is not the manifest's"):
        migrate(folder)
    assert contents(folder) == before


def claiming(folder: Path, claimed: Path, **changes: Any) -> None:
    """Let the migrated bundle in `folder` claim what another one, in `claimed`, supersedes."""
    (other,) = Bundle.load(claimed).supersedes
    name = superseded_name(other)
    if not (folder / name).exists():
        shutil.copyfile(claimed / name, folder / name)
    manifest = Bundle.load(folder).manifest
    files = {**manifest.files, name: FileEntry.of(folder / name)}
    update = {"files": files, "supersedes": (*manifest.supersedes, other), **changes}
    write_manifest(folder, manifest.model_copy(update=update))


def test_a_bundle_with_other_weights_cannot_claim_a_galleries_fingerprint(tmp_path: Path) -> None:
    ours, other = write_format_1(tmp_path / "ours"), write_format_1(tmp_path / "other", weights=b"others")
    migrate(ours)
    migrate(other)
    claiming(other, ours)
    with pytest.raises(BundleError, match=r"supersedes: .* another embedder: the SHA-256 of embedder\.onnx"):
        Bundle.load(other)


def test_another_rerankers_galleries_may_be_claimed(tmp_path: Path) -> None:
    ours, other = write_format_1(tmp_path / "ours"), write_format_1(tmp_path / "other", name="other")
    first, second = migrate(ours), migrate(other)
    assert first.bundle.fingerprint == second.bundle.fingerprint
    assert first.superseded != second.superseded
    claiming(other, ours)
    assert Bundle.load(other).supersedes == (second.superseded, first.superseded)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"descriptor_dim": 4096}, "the descriptor's length is 4096, was 8192"),
        ({"strips": [4, 256]}, r"the shape of the strips is \(4, 256\), was \(16, 256\)"),
        ({"input": {"height": 160, "width": 160, "mean": [0.5] * 3, "std": [0.5] * 3}}, "the input is"),
    ],
)
def test_another_input_or_shape_cannot_be_claimed(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    ours, other = write_format_1(tmp_path / "ours"), write_format_1(tmp_path / "other", **changes)
    migrate(ours)
    migrate(other)
    claiming(other, ours)
    with pytest.raises(BundleError, match=what):
        Bundle.load(other)


@pytest.mark.parametrize("forged", ["rewritten", "no JSON", "no manifest", "unlisted"])
def test_a_claim_without_its_true_manifest_is_refused(tmp_path: Path, forged: str) -> None:
    ours, other = write_format_1(tmp_path / "ours"), write_format_1(tmp_path / "other", weights=b"others")
    migrate(ours)
    migrate(other)
    (claimed,) = Bundle.load(ours).supersedes
    name = superseded_name(claimed)
    # What a forger can do: the claimed fingerprint over a manifest that names this bundle's own embedder.
    own = json.loads((other / superseded_name(*Bundle.load(other).supersedes)).read_bytes())
    text = {"rewritten": json.dumps(own), "no manifest": "[1]"}.get(forged, "{")
    (other / name).write_text(text, encoding="utf-8")
    claiming(other, ours, **({"files": Bundle.load(other).manifest.files} if forged == "unlisted" else {}))
    with pytest.raises(BundleError, match=r"manifest\.json: supersedes: .*; remove the entry"):
        Bundle.load(other)
