"""What each of two processes does in `test_processes`; started by torchrun."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models.losses.statistics import ClassStatistics
from models.network import LKAReID
from tests.training.classifier.test_trainer import config as classifier_config
from tests.training.classifier.test_trainer import data as digits
from tests.training.small import experiment, small_network
from training.classifier.trainer import ClassifierTrainer
from training.datasets.readers.manifest import read_manifest
from training.distributed import Process, joined
from training.embedder.branch_losses import embedder_loss
from training.embedder.trainer import Trainer

# Stochastic depth draws for each process's images by itself.
ALIKE: dict[str, Any] = {
    "network": {"size": "0.5M", "patch": 2, "drop_path": 0},
    "optimiser": {"epochs": 1, "warm_up": 0.5},
}
LOSSES = {"descriptor": 1.0, "strips": 1.0, "ibb_warm_up": 1}
NETWORK = {
    "branches": [
        {"mixer": "lka", "loss": "cross_entropy+ibb"},
        {"mixer": "dcs", "loss": "triplet"},
        {"mixer": "hca", "loss": "triplet+ibb"},
    ],
    "strips": 2,
    "strip_width": 8,
}


def warm_statistics(network: LKAReID) -> dict[int, ClassStatistics]:
    """Of the branches with RIB, after two epochs of random features."""
    found = {}
    source = torch.Generator().manual_seed(2)
    for number in (0, 2):
        made = ClassStatistics(4, network.config.features, network.trunk.channels)
        for _ in range(2):
            features = torch.randn(8, network.config.features, generator=source)
            early = torch.randn(8, network.trunk.channels, generator=source)
            made.observe(features, early, torch.arange(8) % 4)
            made.refresh()
        found[number] = made
    return found


def loss(process: Process, folder: Path) -> None:
    config = experiment(losses=LOSSES, network=NETWORK)
    network = small_network(4, shape=config.network.build()).eval()
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    own = slice(4 * process.rank, 4 * process.rank + 4)
    known = warm_statistics(network)
    losses = embedder_loss(
        network.config.branches, network.learn(images[own]), labels[own], config.losses, process, known
    )
    torch.stack(list(losses.values())).sum().backward()
    process.average_gradients(network.parameters())
    found = {f"loss.{name}": process.all_reduce_mean(value.detach()) for name, value in losses.items()}
    found |= {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    for number, each in known.items():
        each.refresh()
        found |= {f"statistics.{number}.{name}": value for name, value in each.state_dict().items()}
    save_file(
        {name: value.contiguous() for name, value in found.items()}, folder / f"{process.rank}.safetensors"
    )


def train(process: Process, folder: Path, manifest: Path) -> None:
    config = experiment(schedule={"epochs": 2})
    trainer = Trainer(small_network(), read_manifest(manifest), config, process=process)
    positions = [batch.positions for batch in trainer.batches(1)]
    state = trainer.run().state_dict()
    found = {name: value.contiguous() for name, value in state.items()}
    save_file(found | {"positions": torch.tensor(positions)}, folder / f"{process.rank}.safetensors")


def classify(process: Process, folder: Path) -> None:
    made = ClassifierTrainer(digits(96), classifier_config(**ALIKE), process=process)
    found = {name: value.contiguous() for name, value in made.run().state_dict().items()}
    save_file(found, folder / f"{process.rank}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined("cpu") as process:
        if sys.argv[1] == "loss":
            loss(process, Path(sys.argv[2]))
        elif sys.argv[1] == "classify":
            classify(process, Path(sys.argv[2]))
        else:
            train(process, Path(sys.argv[2]), Path(sys.argv[3]))
