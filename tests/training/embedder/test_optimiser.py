from __future__ import annotations

import pytest

from models.shape import NetworkConfig, branches
from tests.training.small import small_network
from training.config.embedder import OptimiserConfig, ScheduleConfig
from training.embedder.optimiser import factor, make_optimiser, make_schedule


def test_the_papers_schedule_warms_up_over_10_epochs_and_falls_at_40_70_and_100() -> None:
    at = factor(ScheduleConfig(), an_epoch=100)
    assert at(0) == pytest.approx(1 / 1000)
    assert at(499) == pytest.approx(0.5)
    assert [at(step) for step in (999, 1000, 3999)] == [1.0, 1.0, 1.0]
    assert [at(step) for step in (4000, 6999, 7000, 10000, 12999)] == pytest.approx(
        [0.1, 0.1, 0.01, 1e-3, 1e-3]
    )


def test_a_cosine_ends_at_its_last_fraction() -> None:
    at = factor(ScheduleConfig(name="cosine", epochs=10, warm_up=2, final=0.05), an_epoch=10)
    assert at(19) == 1.0
    assert at(60) == pytest.approx((1 + 0.05) / 2)
    assert at(100) == pytest.approx(0.05)
    values = [at(step) for step in range(20, 101)]
    assert values == sorted(values, reverse=True)


def test_a_constant_rate_stays_after_the_warm_up() -> None:
    at = factor(ScheduleConfig(name="constant", epochs=3, warm_up=1), an_epoch=4)
    assert [at(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_one_cycle_peaks_after_the_warm_up() -> None:
    network = small_network()
    optimiser = make_optimiser(network, OptimiserConfig(name="adamw", learning_rate=1e-3))
    schedule = make_schedule(optimiser, ScheduleConfig(name="one-cycle", epochs=10, warm_up=2), an_epoch=10)
    rates = []
    for _ in range(99):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates.index(max(rates)) == 19
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] < 1e-6


@pytest.mark.parametrize(("epochs", "warm_up"), [(2, 1.0), (3, 1.0), (2, 0.5), (1, 0.5)])
def test_one_cycle_of_a_few_steps_is_gone_through(epochs: int, warm_up: float) -> None:
    optimiser = make_optimiser(small_network(), OptimiserConfig(name="adamw", learning_rate=1e-3))
    config = ScheduleConfig(name="one-cycle", epochs=epochs, warm_up=warm_up)
    schedule = make_schedule(optimiser, config, an_epoch=1)
    for _ in range(epochs):
        assert 0 < optimiser.param_groups[0]["lr"] <= 1e-3
        optimiser.step()
        schedule.step()


def test_new_parts_have_their_own_rate_and_norms_are_spared_if_wanted() -> None:
    shape = NetworkConfig(branches("conv", "lka"), width=4, depth=(1, 1, 1, 1), image_size=(32, 32), strips=2)
    network = small_network(shape=shape, viewpoints=3)
    name_of = {id(p): name for name, p in network.named_parameters()}
    config = OptimiserConfig(learning_rate=1e-3, new_rate=10, weight_decay=0.1, decay_all=False)
    found = {
        name_of[id(p)]: (group["lr"], group["weight_decay"])
        for group in make_optimiser(network, config).param_groups
        for p in group["params"]
    }
    assert found["trunk.conv1.weight"] == (1e-3, 0.1)
    assert found["trunk.bn1.weight"] == (1e-3, 0.0)
    assert found["branches.0.0.conv2.weight"] == (1e-3, 0.1)
    assert {rate for name, (rate, _) in found.items() if name.startswith("branches.2.0.conv2.")} == {1e-2}
    assert found["heads.0.classifier.weight"] == (1e-2, 0.1)
    assert found["side_information"] == (1e-2, 0.1)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {f"heads.{i}.neck.bias" for i in range(4)}
    assert found.keys() == {name for name, _ in network.named_parameters()} - frozen
    everything = make_optimiser(network, OptimiserConfig(weight_decay=0.1))
    assert {group["weight_decay"] for group in everything.param_groups} == {0.1}
