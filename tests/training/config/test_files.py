from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.network import count_parameters
from models.shape import NetworkConfig
from training.config.embedder import ExperimentConfig
from training.config.files import ConfigError, describe, load_config, write_config
from training.config.network import ShapeConfig

CONFIGS = Path(__file__).parents[3] / "configs"


def test_what_is_written_is_read_back_the_same_and_explains_every_key(tmp_path: Path) -> None:
    config = load_config(CONFIGS / "vehicle-2cam.yaml", ["optimiser.learning_rate=1.23456789e-5"])
    path = tmp_path / "config.yaml"
    path.write_text(write_config(config), encoding="utf-8")
    assert load_config(path) == config
    text = path.read_text(encoding="utf-8")
    for key, _, _, meaning in describe(ExperimentConfig):
        assert meaning, key
        assert meaning in text
        assert re.search(rf"^[ #]*{key.split('.')[-1]}:", text, re.MULTILINE)


def test_the_defaults_are_the_papers_recipe() -> None:
    config = ExperimentConfig()
    assert (config.optimiser.name, config.optimiser.learning_rate, config.optimiser.weight_decay) == (
        "adam",
        1e-4,
        5e-4,
    )
    schedule = config.schedule
    assert (schedule.epochs, schedule.warm_up, schedule.freeze, schedule.milestones) == (
        130,
        10,
        10,
        (40, 70, 100),
    )
    assert (config.batch.vehicles, config.batch.images) == (6, 8)
    losses = config.losses
    assert (losses.cross_entropy, losses.triplet, losses.margin, losses.label_smoothing) == (
        0.6,
        1.0,
        0.1,
        0.1,
    )
    assert (config.augmentation.flip, config.augmentation.erase, config.augmentation.crop) == (0.5, 0.5, 0)
    assert config.input.mean == config.input.std == (0.5, 0.5, 0.5)
    assert config.network.build() == NetworkConfig()


@pytest.mark.parametrize(("name", "side"), [("veri776", "none"), ("veri776-lai", "camera-view")])
def test_the_veri_experiments_are_the_papers_with_and_without_side_information(name: str, side: str) -> None:
    config = load_config(CONFIGS / f"{name}.yaml")
    assert config.network.side_information == side
    same = {"name", "data", "network", "weights", "run"}
    assert config.model_dump(exclude=same) == ExperimentConfig().model_dump(exclude=same)
    assert config.network.build() == NetworkConfig()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.learning_rate=1", "optimizer: no such key; did you mean optimiser?"),
        (
            "optimiser.lerning_rate=1",
            "optimiser.lerning_rate: no such key; did you mean optimiser.learning_rate?",
        ),
        ("learning_rate=1", "learning_rate: no such key; did you mean optimiser.learning_rate?"),
        ("xyzzy=1", "xyzzy: no such key; `lka-reid train keys` lists all keys"),
        ("batch.vehicles=1", "batch.vehicles: Input should be greater than 1, not 1"),
        (
            "schedule.name=linear",
            "schedule.name: Input should be 'step', 'cosine', 'one-cycle' or 'constant'",
        ),
        ("schedule.epochs=10", "schedule: a warm_up of 10 leaves nothing of 10 epochs"),
        ("network.image_size=[100, 96]", "image_size must be positive multiples of 16 px"),
        (
            "network.branches=[{mixer: foo, loss: triplet}]",
            "unknown mixer 'foo'; there are conv, dcs, hca, lka, lkca, mhsa",
        ),
        ("optimiser=3", "optimiser: Input should be a valid dictionary"),
        ("seed.a=2", "--set seed.a=2: seed is a value and has no keys of its own"),
        ("seed", "--set seed: expected section.key=value"),
        ("seed=[", "is no value that YAML knows"),
    ],
)
def test_what_cannot_be_is_refused_and_the_nearest_key_named(
    tmp_path: Path, override: str, message: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("seed: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(path, [override])


def test_a_renamed_key_is_refused_with_its_new_name() -> None:
    message = "batch.pictures: no such key; it is called batch.images now"
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(None, ["batch.pictures=4"])


def test_overrides_take_numbers_lists_and_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("optimiser: {learning_rate: 1e-3, clip: 5}\n", encoding="utf-8")
    config = load_config(
        path,
        ["optimiser.learning_rate=2e-4", "optimiser.clip=null", "schedule.milestones=[1, 2]", "name=a b"],
    )
    assert config.optimiser.learning_rate == 2e-4
    assert config.optimiser.clip is None
    assert config.schedule.milestones == (1, 2)
    assert config.name == "a b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        ("losses: {margin: 1}\nseed: 1\nlosses: {triplet: 0}", "losses is given twice.*line 3"),
        ("- 1", "expected keys and values"),
        (None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"config\.yaml.*{message}"):
        load_config(path)


def test_a_shape_has_every_key_of_the_network() -> None:
    own = set(ShapeConfig.model_fields) - {"side_information"}
    # Directions to take out of the descriptor are estimated after the training.
    assert own == set(NetworkConfig.__dataclass_fields__) - {"projection"}


def test_the_papers_network_has_its_parameters() -> None:
    import torch

    from models.network import LKAReID

    with torch.device("meta"):
        network = LKAReID(load_config(CONFIGS / "veri776.yaml").network.build(), 575)
    assert count_parameters(network) == pytest.approx(47.422e6, abs=1e3)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("rib-*.yaml")), ids=lambda path: path.stem)
def test_a_configuration_of_rib_has_branches_that_learn_from_the_bound(path: Path) -> None:
    config = load_config(path)
    assert any("ibb" in branch.loss for branch in config.network.branches)
    assert config.losses.ibb == 1.0
    assert config.losses.ibb_warm_up < config.schedule.epochs


@pytest.mark.parametrize("name", ["lkca-branches", "lkca-edge", "rib-dcs", "rib-hca", "rib-vehicle-2cam"])
def test_a_configuration_of_the_companion_papers_makes_a_network_that_learns(name: str) -> None:
    import torch

    from models.network import LKAReID
    from training.embedder.branch_losses import branch_statistics

    config = load_config(CONFIGS / f"{name}.yaml")
    with torch.device("meta"):
        network = LKAReID(config.network.build(), 8)
        statistics = branch_statistics(
            network.config.branches, 8, network.config.features, network.trunk.channels, config.losses
        )
    assert len(statistics) == sum("ibb" in branch.loss for branch in config.network.branches)
    mixers = {branch.mixer for branch in config.network.branches}
    assert mixers & ({"lkca"} if name.startswith("lkca") else {"dcs", "hca"})
