"""The published embedders' trainings: their numbers are pinned, so that shipped weights can be made again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.decoding import decode
from models.inputspec import InputSpec
from models.network import LKAReID
from models.shape import NetworkConfig
from tests.training.small import Diary, assert_same_weights
from training.config.embedder import ExperimentConfig, TrainingConfig
from training.config.files import load_config
from training.datasets.image import VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.embedder.branch_losses import embedder_loss
from training.embedder.trainer import Trainer
from training.loading.augmentation import Augmentation
from training.loading.sampler import PKSampler

CONFIGS = Path(__file__).parents[3] / "configs"
OURS = load_config(CONFIGS / "vehicle-2cam.yaml")
PLAIN = load_config(CONFIGS / "resnet50-vehicle-2cam.yaml")
SHAPE: dict[str, Any] = {"width": 8, "depth": (1, 1, 1, 1), "image_size": (64, 64)}
# Of two epochs on the small tree in float32, before the trainer was made general.
OUR_LOSSES = [
    {"cross_entropy": 1.4898002, "triplet": 0.2589315, "descriptor": 0.0433828, "strips": 0.2762975},
    {"cross_entropy": 1.4883535, "triplet": 0.6243110, "descriptor": 0.8480154, "strips": 1.2356995},
    {"cross_entropy": 1.4917809, "triplet": 0.5791429, "descriptor": 0.2469067, "strips": 0.8536472},
    {"cross_entropy": 1.4819666, "triplet": 0.7003152, "descriptor": 0.5077996, "strips": 0.3764053},
    {"cross_entropy": 1.4811307, "triplet": 1.0995553, "descriptor": 2.2955253, "strips": 2.4090097},
    {"cross_entropy": 1.4803454, "triplet": 0.3714116, "descriptor": 0.0250820, "strips": 0.0337461},
]
PLAIN_LOSSES = [
    {"cross_entropy": 2.4861443, "triplet": 0.5429002},
    {"cross_entropy": 2.4834361, "triplet": 1.0292311},
    {"cross_entropy": 2.4886468, "triplet": 1.4732647},
    {"cross_entropy": 2.4786253, "triplet": 0.8981109},
    {"cross_entropy": 2.4736813, "triplet": 3.1706984},
    {"cross_entropy": 2.4562044, "triplet": 0.5601001},
]
FIRST_EPOCH = [
    [13, 12, 23, 22, 14, 15, 18, 19],
    [2, 3, 20, 21, 7, 6, 10, 11],
    [5, 4, 0, 1, 17, 16, 9, 8],
]


def shrunk(config: TrainingConfig, **run: Any) -> TrainingConfig:
    """Two epochs of small batches, the warm-up in proportion."""
    return config.model_copy(
        update={
            "schedule": config.schedule.model_copy(update={"epochs": 2, "warm_up": 0.4}),
            "batch": config.batch.model_copy(update={"vehicles": 4}),
            "run": config.run.model_copy(update=run),
        }
    )


def first_changes(config: TrainingConfig) -> TrainingConfig:
    """With the first bundle's changes of images, as the plain network still has them."""
    return config.model_copy(update={"augmentation": PLAIN.augmentation})


def made(config: ExperimentConfig, **changes: Any) -> LKAReID:
    torch.manual_seed(0)
    return LKAReID(NetworkConfig(**{**config.network.build().__dict__, **SHAPE, **changes}), 12)


def plain_loop(network: LKAReID, images: list[VehicleImage], config: TrainingConfig) -> LKAReID:
    """The training written out: what the trainer must come to, bit for bit."""
    height, width = network.config.image_size
    augmentation = Augmentation(InputSpec(height=height, width=width), config.augmentation)
    sampler = PKSampler(images, config.batch.vehicles, config.batch.images, config.seed)
    vehicles = sorted({image.vehicle_id for image in images})
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            new = name.startswith(("heads.", "strip_head."))
            if name.startswith("branches.") and ".conv2." in name:
                new = network.config.branches[int(name.split(".")[1])].mixer != "conv"
            groups.setdefault((new, parameter.ndim > 1), []).append(parameter)
    optimiser = torch.optim.AdamW(
        [
            {"params": parameters, "lr": 3.5e-4, "weight_decay": 5e-4 if decays else 0.0}
            for (_, decays), parameters in groups.items()
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 3.5e-4, total_steps=len(sampler) * config.schedule.epochs, pct_start=0.2
    )
    for epoch in range(1, config.schedule.epochs + 1):
        network.train()
        source = random.Random(f"{config.seed}/augmentation/{epoch}")
        for batch in sampler.epoch(epoch):
            changed = [augmentation(decode(images[i].path.read_bytes()), source) for i in batch]
            inputs = torch.stack([torch.from_numpy(each) for each in changed])
            labels = torch.tensor([vehicles.index(images[i].vehicle_id) for i in batch])
            with torch.autocast("cpu", torch.bfloat16, enabled=config.run.precision == "bf16"):
                output = network.learn(inputs.contiguous(memory_format=torch.channels_last))
            losses = embedder_loss(network.config.branches, output, labels, config.losses)
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimiser.step()
            schedule.step()
    return network


@pytest.mark.slow
def test_the_trainer_is_the_published_training_written_out_bit_for_bit(tree: Path) -> None:
    images, config = read_manifest(tree), shrunk(OURS)
    expected = plain_loop(made(OURS, strips=2, strip_width=16), images, config)
    found = Trainer(made(OURS, strips=2, strip_width=16), images, config).run()
    assert_same_weights(found, expected)


@pytest.mark.parametrize("part", ["embedder", "plain"])
def test_losses_are_those_of_before_the_trainer_was_made_general(tree: Path, part: str) -> None:
    diary = Diary()
    if part == "embedder":
        network, expected = made(OURS, strips=2, strip_width=16), OUR_LOSSES
        config = first_changes(OURS)
    else:
        network, config, expected = made(PLAIN), PLAIN, PLAIN_LOSSES
    Trainer(network, read_manifest(tree), shrunk(config, precision="fp32"), observers=[diary]).run()
    for found, wanted in zip(diary.losses(), expected, strict=True):
        assert found == pytest.approx(wanted, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("first", "expected"),
    [(True, [-0.2045451, -0.3719970, -0.4585039]), (False, [-0.1922090, -0.6264011, -0.4699389])],
)
def test_the_order_and_the_changes_of_images_are_pinned(
    tree: Path, first: bool, expected: list[float]
) -> None:
    config = first_changes(OURS) if first else OURS
    run = Trainer(made(OURS), read_manifest(tree), shrunk(config))
    batches = list(run.batches(1))
    assert [batch.positions for batch in batches] == FIRST_EPOCH
    means = [float(batch.images.double().mean()) for batch in batches]
    assert means == pytest.approx(expected, abs=2e-5)
