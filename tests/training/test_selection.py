"""Channel selections in trainings of both stages."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from models.selection import ChannelSelection
from models.shape import Branch, NetworkConfig
from tests.training.reranker.test_trainer import SHAPE, TRAINING, features
from tests.training.small import Diary, small_network, trainer, training
from training.datasets.readers.manifest import read_manifest
from training.distributed import Process
from training.progress import EpochRow
from training.reporting.terminal import ConsoleReporter
from training.reranker.mining import Fold, mine
from training.reranker.trainer import RerankerTrainer
from training.selection import Selections

BRANCHES = (Branch("conv", "cross_entropy"), Branch("dcs", "triplet"))


def network(identities: int = 12) -> torch.nn.Module:
    shape = NetworkConfig(BRANCHES, width=4, depth=(1, 1, 1, 2), image_size=(32, 32))
    return small_network(identities, shape=shape)


def temperatures(module: torch.nn.Module) -> list[float]:
    return [float(m.temperature) for m in module.modules() if isinstance(m, ChannelSelection)]


def test_the_temperature_falls_by_the_same_factor_from_start_to_end() -> None:
    module = network()
    watched = Selections(module, 2.0, 0.5, Process())
    found = []
    for step in range(5):
        watched.anneal(step, 5)
        found.append(temperatures(module)[0])
    assert found == pytest.approx([2.0, 2**0.5, 1.0, 0.5**0.5, 0.5])
    assert len(set(temperatures(module))) == 1


@pytest.mark.parametrize(("bias", "says"), [(50.0, "plain self-attention"), (-50.0, "no channel is left")])
def test_a_saturated_selection_is_warned_of_by_name(bias: float, says: str) -> None:
    module = network()
    watched = Selections(module, 2.0, 0.5, Process())
    selections = [m for m in module.modules() if isinstance(m, ChannelSelection)]
    torch.nn.init.constant_(selections[1].logits.bias, bias)
    for selection in selections:
        selection(torch.randn(4, 32))
    figures, warnings = watched.take()
    assert list(figures) == ["channels 2"]
    (warning,) = warnings
    assert warning.startswith("branches.1.1.conv2.selection selects")
    assert says in warning
    assert all(float(s.passes) == 0 for s in selections)


def test_a_training_reports_the_share_of_selected_channels_of_each_epoch(tree: Path, tmp_path: Path) -> None:
    diary = Diary()
    made = network()
    trainer(read_manifest(tree), training(schedule={"epochs": 2}), diary, tmp_path, made).run()  # type: ignore[arg-type]
    shares = [row.figures["channels 2"] for row in diary.epochs]
    assert len(shares) == 2
    assert all(0.2 < share < 0.8 for share in shares)
    assert temperatures(made) == pytest.approx([0.5, 0.5])


def test_a_terminal_shows_figures_and_warnings() -> None:
    stream = io.StringIO()
    reporter = ConsoleReporter(Console(file=stream, width=200))
    reporter.epoch(
        EpochRow(1, 2, 3, {"triplet": 1.0}, 1e-3, 5.0, 6.0, 1.0, {}, {"channels 2": 0.995}, ("look",))
    )
    assert "channels 2 0.995" in stream.getvalue()
    assert "warning: look" in stream.getvalue()


@pytest.mark.parametrize("distance", ["place", "attention"])
def test_a_re_ranker_with_a_selection_trains_and_reports_it(distance: str) -> None:
    known = features(0)
    folds = [Fold(known, mine(known, 8))]
    shape = replace(SHAPE, selection=True, distance=distance)  # type: ignore[arg-type]
    diary = Diary()
    made = RerankerTrainer(folds, [], shape, replace(TRAINING, steps=20), observers=[diary])
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    made.run()
    assert [0 < row.figures["channels"] < 1 for row in diary.checks] == [True, True]
    learned = made.model.state_dict()["probe_attention.selection.logits.weight"]
    assert not torch.equal(learned, before["probe_attention.selection.logits.weight"])
