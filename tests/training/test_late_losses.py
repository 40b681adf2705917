"""Losses that are read a step late, as on a GPU: what a training says, saves and stops at stays right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.shape import Branch, NetworkConfig
from tests.training.small import Diary, assert_same_weights, small_network, trainer, training
from training.checkpoints.resume import Checkpoints
from training.config.embedder import TrainingConfig
from training.datasets.readers.manifest import read_manifest
from training.distributed import Process
from training.embedder import optimiser
from training.embedder.optimiser import fused_on
from training.embedder.trainer import Trainer
from training.loading.loader import Batch
from training.progress import Progress
from training.readback import Readback
from training.signals import StoppedError

EPOCH = 3
"""Steps in an epoch of `training()`, which has four epochs."""


def late(images: list[Any], config: TrainingConfig, diary: Diary, folder: Path | None = None) -> Trainer:
    made = trainer(images, config, diary, folder)
    made.late = True
    return made


def spoil(made: Trainer, step: int, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Let a step's loss be no number; the batches that the training sees."""
    seen: list[Batch] = []
    losses = made.losses

    def spoiled(batch: Batch) -> dict[str, torch.Tensor]:
        seen.append(batch)
        found = losses(batch)
        return {name: loss * torch.nan for name, loss in found.items()} if len(seen) == step else found

    monkeypatch.setattr(made, "losses", spoiled)
    return seen


def saved(images: list[Any], config: TrainingConfig, folder: Path) -> Trainer:
    made = trainer(images, config, Diary(), folder)
    made.resume()
    return made


def test_a_step_is_told_of_when_the_next_one_is_made_and_every_number_is_the_same(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, config = read_manifest(tree), training()
    soon, behind = Diary(), Diary()
    expected = trainer(images, config, soon).run()
    made = late(images, config, behind)
    made_by_then: list[int] = []
    note = behind.step

    def noting(progress: Progress) -> None:
        made_by_then.append(made.step)
        note(progress)

    monkeypatch.setattr(behind, "step", noting)
    assert_same_weights(made.run(), expected)
    # An epoch's last step is reported before the epoch is.
    assert made_by_then == [step + (step % EPOCH != 0) for step in range(1, 4 * EPOCH + 1)]
    assert behind.steps == soon.steps
    assert [row.losses for row in behind.epochs] == [row.losses for row in soon.epochs]


@pytest.mark.parametrize("bad", [4, 6, 12], ids=["first of an epoch", "last of an epoch", "last of all"])
def test_a_loss_that_is_not_finite_names_its_own_step_and_none_of_it_is_saved(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    images, config, diary = read_manifest(tree), training(), Diary()
    made = late(images, config, diary, tmp_path / "run")
    seen = spoil(made, bad, monkeypatch)
    epoch = (bad - 1) // EPOCH
    with pytest.raises(
        FloatingPointError, match=f"the loss is nan in epoch {epoch + 1}, step {bad};"
    ) as caught:
        made.run()
    named = str(caught.value).split("\n")[1:]
    assert [name.strip() for name in named] == [str(images[i].path) for i in seen[bad - 1].positions]
    assert [progress.step for progress in diary.steps] == list(range(1, bad))
    assert len(diary.epochs) == epoch
    before = saved(images, config, tmp_path / "run")
    assert before.step == epoch * EPOCH
    assert all(torch.isfinite(value).all() for value in before.network.state_dict().values())


def test_a_stop_right_after_a_loss_that_is_not_finite_saves_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, config, diary = read_manifest(tree), training(), Diary()
    made = late(images, config, diary, tmp_path / "run")
    spoil(made, 4, monkeypatch)
    losses = made.losses

    def stopping(batch: Batch) -> dict[str, torch.Tensor]:
        diary.stop.made = made.step == 3
        return losses(batch)

    monkeypatch.setattr(made, "losses", stopping)
    with pytest.raises(FloatingPointError, match="step 4;"):
        made.run()
    assert saved(images, config, tmp_path / "run").step == 3


def test_what_the_next_step_fails_over_is_the_loss_before(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = late(read_manifest(tree), training(), Diary())
    spoil(made, 4, monkeypatch)
    losses = made.losses

    def failing(batch: Batch) -> dict[str, torch.Tensor]:
        if made.step == 4:
            raise RuntimeError("no such matrix")
        return losses(batch)

    monkeypatch.setattr(made, "losses", failing)
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 2, step 4"):
        made.run()


@pytest.mark.slow
def test_one_that_was_stopped_inside_an_epoch_goes_on_bit_for_bit_with_a_fused_optimiser(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimiser, "fused_on", lambda _: True)
    images, straight = read_manifest(tree), Diary()
    config = training(optimiser={"name": "adamw", "clip": 1.0})
    expected = late(images, config, straight).run()

    diary = Diary(stop_after=7)  # step 7 is reported when 8 has been made
    with pytest.raises(StoppedError, match=r"after step 8$"):
        late(images, config, diary, tmp_path / "run").run()
    assert [progress.step for progress in diary.steps] == list(range(1, 9))
    rest = Diary()
    second = late(images, config, rest, tmp_path / "run")
    assert second.optimiser.param_groups[0]["fused"]
    assert_same_weights(second.run(), expected)
    assert rest.losses() == straight.losses()[8:]
    assert [row.losses for row in second.history] == [row.losses for row in straight.epochs]


def test_optimisers_are_fused_on_a_gpu() -> None:
    assert fused_on(torch.device("cuda", 1)) is True
    assert fused_on(torch.device("cpu")) is None


class Waits(TorchDispatchMode):
    """Notes the operations whose result a host would have to wait for, had a GPU computed it."""

    NAMES = ("_local_scalar_dense", "nonzero", "unique", "_unique2", "masked_select", "equal", "bincount")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, _: Any, arguments: Any = (), keywords: Any = None) -> Any:
        name = function.overloadpacket.__name__
        masks = name.startswith("index") and any(
            isinstance(each, torch.Tensor) and each.dtype == torch.bool
            for each in (arguments[1] if isinstance(arguments[1], list | tuple) else ())
        )
        if name in self.NAMES or masks:
            self.found.append(name)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_nothing_in_a_step_waits_for_a_gpu(
    tree: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    with Waits() as waits:
        values = torch.ones(2)
        float(values[0])
        values[values > 0].unique()
    assert waits.found == ["_local_scalar_dense", "index", "_unique2"]

    monkeypatch.setattr(optimiser, "fused_on", lambda _: True)
    images = read_manifest(tree)
    config = training(
        losses={"descriptor": 1.0, "clusters": 1.0, "distillation": 1.0, "ibb_warm_up": 1},
        average=0.9,
        optimiser={"name": "adamw", "clip": 1.0},
        schedule={"epochs": 1, "warm_up": 0, "freeze": 0},
        run={"precision": precision},
    )
    branches = (Branch("lka", "cross_entropy"), Branch("hca", "triplet+ibb"))
    network = small_network(shape=NetworkConfig(branches, width=4, depth=(1, 1, 1, 1), image_size=(32, 32)))
    start = torch.nn.functional.normalize(torch.randn(len(images), network.config.descriptor_dim), dim=1)
    made = Trainer(network, images, config, start=start.numpy())
    made.begin_period()
    first, *others = made.batches(1)
    made._descend_on(first)
    for statistics in made.statistics.values():
        statistics.refresh()
    with Waits() as waits:
        for batch in others:
            names, _ = made._descend_on(batch)
    assert set(names) >= {"cross_entropy", "triplet", "descriptor", "clusters", "distillation", "ibb"}
    assert waits.found == []


@pytest.mark.slow
def test_checkpoints_hold_the_losses_of_every_step_made(tree: Path, tmp_path: Path) -> None:
    images, config = read_manifest(tree), training()
    with pytest.raises(StoppedError, match=r"after step 5$"):
        late(images, config, Diary(stop_after=4), tmp_path / "run").run()
    straight = Diary()
    trainer(images, config, straight).run()
    _, _, values = Checkpoints(tmp_path / "run", config.model_dump(mode="json", exclude={"run"})).load()
    expected = {name: sum(step[name] for step in straight.losses()[3:5]) for name in straight.losses()[0]}
    assert values["sums"] == pytest.approx(expected)


def test_an_epoch_ends_with_its_last_step_and_not_with_its_losses(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def noting(name: str, does: Any) -> Any:
        def noted(*arguments: Any) -> Any:
            events.append(name)
            return does(*arguments)

        return noted

    made = late(read_manifest(tree), training(schedule={"epochs": 1, "warm_up": 0}), Diary())
    monkeypatch.setattr(Readback, "read", noting("read", Readback.read))
    monkeypatch.setattr(made, "descend", noting("step", made.descend))
    monkeypatch.setattr(made, "row", noting("row", made.row))
    made.run()
    # The last losses are on their way before the last step is, and are no sign of it.
    assert events == ["step", "step", "read", "step", "read", "read", "read", "row"]


def test_all_processes_wait_until_the_first_has_saved_where_they_stop(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_by_then: list[bool] = []
    folder = tmp_path / "run"
    monkeypatch.setattr(Process, "barrier", lambda _: saved_by_then.append(Checkpoints(folder, {}).exist()))
    with pytest.raises(StoppedError):
        trainer(read_manifest(tree), training(), Diary(stop_after=2), folder).run()
    assert saved_by_then == [True]


def test_short_epochs_are_not_each_saved_and_a_stop_is(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, config = read_manifest(tree), training()
    made = trainer(images, config, Diary(stop_after=8))
    made.checkpoints = Checkpoints(tmp_path / "run", {}, spacing=3600)
    saved_at: list[int] = []
    save = made.checkpoints.save

    def noted(step: int, *values: Any) -> None:
        saved_at.append(step)
        save(step, *values)

    monkeypatch.setattr(made.checkpoints, "save", noted)
    with pytest.raises(StoppedError, match="after step 8"):
        made.run()
    assert saved_at == [8]
    assert made.checkpoints.exist()


def test_a_training_that_has_ended_is_saved_whatever_follows(tree: Path, tmp_path: Path) -> None:
    made = trainer(read_manifest(tree), training(), Diary())
    made.checkpoints = Checkpoints(tmp_path / "run", {}, spacing=3600)
    made.run()
    assert made.checkpoints.load()[0] == made.steps
