"""A head of one's own for strips or parts: what it changes, and when it is trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from models.bundle import Bundle
from models.explainer import Explainer
from tests.training.reranker.runs import config, made
from tests.training.small import Diary
from training.checkpoints.resume import ResumeError
from training.signals import StoppedError

HEAD = {"steps": 3, "vehicles": 2, "views": 1}


@pytest.mark.slow
def test_a_new_head_changes_strips_alone_and_learns_from_its_embedders_own_vehicles(
    tree: Path, tmp_path: Path
) -> None:
    plain = made(tree, tmp_path / "run", config()).parts
    renewed = made(tree, tmp_path / "run", config(head=HEAD), parts=tmp_path / "run").parts
    before, after = plain.embedder, renewed.embedder
    for name, value in before.network.state_dict().items():
        if not name.startswith("strip_head."):
            torch.testing.assert_close(after.network.state_dict()[name], value)
    old, new = (frozen.network.state_dict()["strip_head.projections.0.weight"] for frozen in (before, after))
    assert not torch.equal(old, new)
    assert after.provenance["embedder"] == before.provenance["embedder"]
    assert after.provenance != before.provenance, "features of the two heads must not be taken for each other"


@pytest.mark.slow
def test_a_head_is_trained_once_and_refused_where_its_settings_have_changed(
    tree: Path, tmp_path: Path
) -> None:
    diary = Diary()
    first = made(tree, tmp_path / "run", config(head=HEAD), reporter=diary).parts.embedder
    again = made(tree, tmp_path / "run", config(head=HEAD), reporter=diary).parts.embedder
    assert diary.parts.count("head of embedder") == 1
    for name, value in first.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value)
    with pytest.raises(
        ResumeError,
        match=r"embedder\.safetensors: was made with other settings \(head\.steps: now 4, then 3\)",
    ):
        made(tree, tmp_path / "run", config(head={**HEAD, "steps": 4})).parts.embedder  # noqa: B018


@pytest.mark.slow
def test_interrupted_while_a_head_is_made_it_says_so_and_leaves_none(tree: Path, tmp_path: Path) -> None:
    diary = Diary()
    made(tree, tmp_path / "run", config()).parts.embedder  # noqa: B018
    diary.stop.made = True
    with pytest.raises(StoppedError, match="stopped after embedding"):
        made(tree, tmp_path / "run", config(head={**HEAD, "views": 70}), reporter=diary).parts.embedder  # noqa: B018
    assert not list((tmp_path / "run" / "heads").glob("*.safetensors"))


PARTS: dict[str, Any] = {
    "head": {"parts": [2, 3], "width": 8, "steps": 4, "vehicles": 4, "views": 1, "images": 16},
    "lists": {"mining": "augmented", "views": 1},
    "shape": {"heads": 1, "distance": "attention", "weighted": True},
    "checkpoint": {"vehicles": 2, "fusions": [0.5, 2]},
    "bundle": {"export": True},
}


@pytest.mark.slow
def test_a_re_ranker_of_parts_is_trained_exported_and_explained(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    metrics = made(tree, folder, config(**PARTS)).run()
    ranks = metrics["checkpoint"]["reciprocal_rank_by_fusion"]
    assert set(ranks) == {"0.5", "2"}
    assert metrics["checkpoint"]["fusion"] == float(max(ranks, key=ranks.get))
    bundle = Bundle.load(folder / "bundle")
    assert bundle.manifest.strips == (6, 8)
    assert bundle.manifest.network["parts"] == [2, 3]
    with Image.open(next(tree.parent.glob("*.png"))) as image:
        found = Explainer(bundle).explain(image.convert("RGB"), image.convert("RGB"))
    assert found.columns == ("C1", "C2", "C3")
    assert found.strip_distances.shape == (3, 2)
    assert len(found.branches) == 4


def test_parts_need_a_head_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"set head\.steps"):
        config(head={"parts": [2, 2], "steps": 0})
