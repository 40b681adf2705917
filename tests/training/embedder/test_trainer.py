from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from models.shape import NetworkConfig, branches
from tests.training.small import Diary, assert_same_weights, small_network, trainer, training
from training.checkpoints.resume import ResumeError
from training.datasets.readers.manifest import read_manifest
from training.signals import StoppedError


def interrupted(images: list[Any], config: Any, folder: Path, after: int) -> None:
    diary = Diary(stop_after=after)
    with pytest.raises(StoppedError, match=f"after step {after}$"):
        trainer(images, config, diary, folder).run()


@pytest.mark.slow
@pytest.mark.parametrize("stopped_after", [6, 7], ids=["between epochs", "inside an epoch"])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="adam and steps"),
        pytest.param(
            {"average": 0.9, "optimiser": {"name": "adamw", "clip": 1.0}, "schedule": {"name": "one-cycle"}},
            id="adamw, one cycle, average, clipping",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"run": {"precision": "bf16"}, "schedule": {"name": "cosine"}, "optimiser": {"name": "sgd"}},
            id="sgd, cosine, bf16",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_resumed_run_comes_to_the_same_numbers_bit_for_bit(
    tree: Path, tmp_path: Path, changes: dict[str, Any], stopped_after: int
) -> None:
    images, config = read_manifest(tree), training(**changes)
    straight = Diary()
    expected = trainer(images, config, straight).run()

    interrupted(images, config, tmp_path / "run", stopped_after)
    torch.manual_seed(99)  # what happens in between must not matter
    rest = Diary()
    second = trainer(images, config, rest, tmp_path / "run")
    found = second.run()

    assert_same_weights(found, expected)
    assert rest.losses() == straight.losses()[stopped_after:]
    assert [row.losses for row in second.history] == [row.losses for row in straight.epochs]
    assert [row.epoch for row in second.history] == [1, 2, 3, 4]


def test_random_numbers_drawn_in_the_network_go_on_where_they_were(tree: Path, tmp_path: Path) -> None:
    images, config = read_manifest(tree), training(schedule={"epochs": 2})

    def drawing() -> Any:
        network = small_network()
        network.trunk.register_forward_hook(lambda _m, _i, out: out + 0.1 * torch.randn_like(out))
        return network

    torch.manual_seed(7)
    straight = Diary()
    expected = trainer(images, config, straight, network=drawing()).run()
    diary = Diary(stop_after=3)
    with pytest.raises(StoppedError):
        trainer(images, config, diary, tmp_path / "run", network=drawing()).run()
    second = trainer(images, config, Diary(), tmp_path / "run", network=drawing())
    assert_same_weights(second.run(), expected)


def test_a_run_is_not_resumed_with_other_settings(tree: Path, tmp_path: Path) -> None:
    images = read_manifest(tree)
    interrupted(images, training(), tmp_path / "run", 3)
    other = trainer(images, training(optimiser={"learning_rate": 1.0}), Diary(), tmp_path / "run")
    with pytest.raises(ResumeError, match=r"optimiser\.learning_rate: now 1\.0, then 0\.0001"):
        other.run()


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(tree: Path) -> None:
    images = read_manifest(tree)
    losses = []
    for seed in (0, 0, 1):
        diary = Diary()
        trainer(images, training(seed=seed, schedule={"epochs": 2}), diary).run()
        losses.append(diary.losses())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_worker_processes_change_no_number_and_a_resumed_run_goes_on_with_them(
    tree: Path, tmp_path: Path
) -> None:
    images, mixed = read_manifest(tree), {"augmentation": {"mix_style": 0.5}, "schedule": {"epochs": 2}}
    losses = []
    for run in ({"workers": 0}, {"workers": 2}, {"workers": 0, "cache": True}):
        torch.manual_seed(0)
        diary = Diary()
        trainer(images, training(run=run, **mixed), diary).run()
        losses.append(diary.losses())
    assert losses[0] == losses[1] == losses[2]

    config = training(run={"workers": 1}, **mixed)
    for number, after in enumerate((2, 3)):
        torch.manual_seed(0)
        interrupted(images, config, tmp_path / f"{number}", after)
        rest = Diary()
        trainer(images, config, rest, tmp_path / f"{number}").run()
        assert rest.losses() == losses[0][after:]


def test_a_loss_that_is_not_finite_stops_and_names_the_images(tree: Path, tmp_path: Path) -> None:
    images = read_manifest(tree)
    diary = Diary()
    broken = trainer(images, training(), diary, tmp_path / "run")
    batch = next(iter(broken.batches(2))).positions
    names = [str(images[position].path) for position in batch]

    def spoil(row: Any) -> None:
        if row.epoch == 1:
            with torch.no_grad():
                broken.network.get_parameter("trunk.conv1.weight").fill_(torch.nan)

    diary.epoch = spoil  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 2, step 4") as caught:
        broken.run()
    assert all(name in str(caught.value) for name in names)
    # What was saved is the last good epoch.
    again = trainer(images, training(), Diary(), tmp_path / "run")
    again.resume()
    assert torch.isfinite(again.network.get_parameter("trunk.conv1.weight")).all()


def test_the_trunk_keeps_its_weights_while_it_is_frozen(tree: Path) -> None:
    diary = Diary()
    run = trainer(read_manifest(tree), training(), diary)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    seen = []

    def look(row: Any) -> None:
        changed = {
            name for name, p in run.network.named_parameters() if not torch.equal(p.detach(), before[name])
        }
        seen.append(any(name.startswith("trunk.") for name in changed))
        assert any(name.startswith("branches.") for name in changed)
        assert row.epoch == len(seen)

    diary.epoch = look  # type: ignore[method-assign]
    run.run()
    assert seen == [False, True, True, True]


@pytest.mark.slow
def test_training_brings_the_loss_down(tree: Path) -> None:
    diary = Diary()
    config = training(
        schedule={"epochs": 15, "name": "constant", "freeze": 0},
        optimiser={"learning_rate": 3e-3},
        augmentation={"crop": 0, "colour": 0, "shrink": 0, "erase": 0},
    )
    trainer(read_manifest(tree), config, diary).run()
    first, last = (sum(row.losses.values()) for row in (diary.epochs[0], diary.epochs[-1]))
    assert last < 0.8 * first


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains(tree: Path, precision: str) -> None:
    diary = Diary()
    network = trainer(
        read_manifest(tree), training(run={"precision": precision}, schedule={"epochs": 2}), diary
    ).run()
    assert all(torch.isfinite(p).all() for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_every_mixer_and_pooling_trains_in_either_layout(tree: Path) -> None:
    shape = NetworkConfig(
        branches("conv", "mhsa"), width=4, depth=(1, 1, 1, 1), image_size=(32, 32), pooling="gem", strips=2
    )
    diary = Diary()
    config = training(
        run={"channels_last": False},
        losses={"descriptor": 1.0, "strips": 1.0},
        schedule={"epochs": 2, "freeze": 0},
    )
    network = trainer(read_manifest(tree), config, diary, network=small_network(shape=shape)).run()
    assert set(diary.losses()[0]) == {"cross_entropy", "triplet", "descriptor", "strips"}
    assert network.get_parameter("poolings.0.power") != 3.0


@pytest.mark.slow
def test_a_compiled_network_comes_to_the_same_losses(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The graphs that torch.compile captures, run as they are: building kernels for them takes minutes.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    images = read_manifest(tree)
    losses = []
    for compiled in (False, True):
        diary = Diary()
        config = training(run={"compile": compiled}, schedule={"epochs": 2, "freeze": 1})
        trainer(images, config, diary).run()
        losses.append([sum(step.values()) for step in diary.losses()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_frozen_norms_and_stages_keep_what_they_have_and_the_rest_learns(tree: Path) -> None:
    config = training(
        schedule={"epochs": 1, "warm_up": 0, "freeze": 0, "frozen_stages": 1, "freeze_norms": True}
    )
    before, after = small_network(), trainer(read_manifest(tree), config, Diary()).run()
    old, new = before.state_dict(), after.state_dict()
    frozen = [key for key in old if key.startswith(("trunk.conv1", "trunk.bn1", "trunk.layer1"))]
    statistics = [key for key in old if "running" in key]
    assert [key for key in frozen + statistics if not torch.equal(old[key], new[key])] == []
    learned = [
        key for key in old if key.startswith(("trunk.layer2", "branches")) and key.endswith("conv1.weight")
    ]
    assert all(not torch.equal(old[key], new[key]) for key in learned)


@pytest.mark.slow
def test_mixed_styles_are_drawn_by_the_seed_and_go_on_where_they_were(tree: Path, tmp_path: Path) -> None:
    images = read_manifest(tree)
    config = training(schedule={"epochs": 2}, augmentation={"mix_style": 1.0})
    plain, straight = Diary(), Diary()
    torch.manual_seed(7)
    trainer(images, training(schedule={"epochs": 2}), plain).run()
    torch.manual_seed(7)
    expected = trainer(images, config, straight).run()
    assert straight.losses() != plain.losses()

    torch.manual_seed(7)
    interrupted(images, config, tmp_path / "run", 3)
    assert_same_weights(trainer(images, config, Diary(), tmp_path / "run").run(), expected)


def test_a_share_of_the_start_is_in_the_trunk_alone_and_norms_fit_it(tree: Path) -> None:
    images = read_manifest(tree)

    def trained(share: float) -> Any:
        torch.manual_seed(7)
        return trainer(images, training(schedule={"epochs": 2}, start_share=share), Diary()).run()

    torch.manual_seed(7)
    start = trainer(images, training(), Diary()).network
    learned, half, whole = trained(0.0), trained(0.5), trained(1.0)
    for name, value in start.trunk.named_parameters():
        torch.testing.assert_close(whole.trunk.get_parameter(name), value)
        torch.testing.assert_close(
            half.trunk.get_parameter(name), (value + learned.trunk.get_parameter(name)) / 2
        )
    for name, value in learned.branches.named_parameters():
        torch.testing.assert_close(half.branches.get_parameter(name), value)
    assert not torch.equal(half.trunk.bn1.running_mean, learned.trunk.bn1.running_mean)
    assert not half.training


def test_a_start_that_is_a_bundle_keeps_its_share_in_all_weights_and_frozen_norms_their_statistics(
    tree: Path,
) -> None:
    images = read_manifest(tree)

    def trained(share: float) -> Any:
        torch.manual_seed(7)
        config = training(schedule={"epochs": 2, "freeze": 0, "freeze_norms": True}, start_share=share)
        return trainer(images, config, Diary(), from_bundle=True).run()

    torch.manual_seed(7)
    start = trainer(images, training(), Diary()).network
    learned, mixed = trained(0.0), trained(0.25)
    for name, value in mixed.named_parameters():
        late, early = learned.get_parameter(name), start.get_parameter(name)
        expected = late if ".classifier." in name else 0.75 * late + 0.25 * early
        torch.testing.assert_close(value, expected)
    name = "branches.0.0.conv1.weight"
    assert not torch.equal(learned.get_parameter(name), start.get_parameter(name))
    for name, value in mixed.named_buffers():
        assert torch.equal(value, learned.get_buffer(name)), name
    assert not mixed.training


def test_a_training_that_is_saved_after_its_end_has_its_share_of_the_start_once(
    tree: Path, tmp_path: Path
) -> None:
    images, config = read_manifest(tree), training(schedule={"epochs": 2}, start_share=0.5)
    torch.manual_seed(7)
    whole = trainer(images, config, Diary(), tmp_path / "run")
    expected = whole.run()
    whole.save()
    torch.manual_seed(7)
    assert_same_weights(trainer(images, config, Diary(), tmp_path / "run").run(), expected)
