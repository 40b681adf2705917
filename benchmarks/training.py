"""Images/s of training beside the same network's bare forward and backward pass in the same run.

python -m benchmarks.training --config configs/vehicle-2cam.yaml --data DATA [--set KEY=VALUE]

After every epoch of real training (decoding, augmentation, losses, optimiser) the same network makes as many
bare passes over random tensors of the same size, in the same precision and layout, compiled or not as the
training is, with the same losses and no optimiser. So both run on the machine in the same state; the loader
has its first batches of the next epoch ready then, and is idle. The first round warms both up and is not
counted.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from training.config.embedder import ExperimentConfig
from training.config.files import load_config
from training.datasets.layouts import open_dataset
from training.distributed import Process, choose_device
from training.embedder.branch_losses import embedder_loss
from training.embedder.run import embedder_trainer
from training.embedder.trainer import Trainer
from training.progress import EpochRow, Observer, Progress
from training.reporting.provenance import environment


class Bare(Observer):
    """Observes a training and, after every epoch, makes as many bare passes."""

    def __init__(self, config: ExperimentConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.trainer: Trainer | None = None
        self.training: list[float] = []
        self.bare: list[float] = []
        self._steps = 0

    def step(self, _: Progress) -> None:
        """The training has made a step."""
        self._steps += 1

    def epoch(self, row: EpochRow) -> None:
        """The training's turn is over."""
        if self.trainer is None:
            raise RuntimeError("observed before the trainer was known")
        self.training.append(row.images_per_second)
        self.bare.append(self._passes(self.trainer, self._steps))
        self._steps = 0

    def _passes(self, trainer: Trainer, count: int) -> float:
        config, network = self.config, trainer.network
        batch = config.batch.vehicles * config.batch.images
        height, width = network.config.image_size
        images = torch.randn(batch, 3, height, width, device=self.device)
        if config.run.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.arange(config.batch.vehicles, device=self.device).repeat_interleave(
            config.batch.images
        )
        dtype = torch.float16 if config.run.precision == "fp16" else torch.bfloat16
        self._wait()
        started = time.perf_counter()
        for _ in range(count):
            network.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, dtype, enabled=config.run.precision != "fp32"):
                output = trainer.learn(images)
            losses = embedder_loss(network.config.branches, output, labels, config.losses)
            torch.stack(list(losses.values())).sum().backward()
        self._wait()
        return count * batch / (time.perf_counter() - started)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="the experiment, YAML")
    parser.add_argument("--data", type=Path, required=True, help="folder or CSV manifest")
    parser.add_argument("--weights", type=Path, help="published weights; speed does not depend on them")
    parser.add_argument("--rounds", type=int, default=4, help="epochs, the first is not counted")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key")
    arguments = parser.parse_args()
    rounds = [f"schedule.epochs={arguments.rounds}", "schedule.warm_up=0.5", "schedule.freeze=0"]
    config = load_config(arguments.config, [*arguments.set, *rounds])
    device = choose_device(config.run.device)
    train, _ = config.data.split(open_dataset(arguments.data, config.data.layout))
    bare = Bare(config, device)
    trainer = embedder_trainer(config, train, arguments.weights, process=Process(device), observers=[bare])
    bare.trainer = trainer
    console = Console()
    with console.status("training and bare passes in turn"):
        trainer.run()
    ratios = [made / passed for made, passed in zip(bare.training[1:], bare.bare[1:], strict=True)]
    table = Table(title=f"images/s, median of {arguments.rounds - 1} rounds")
    for column in ("", "images/s", "lowest", "highest"):
        table.add_column(column, justify="left" if not column else "right")
    for name, values in (("training", bare.training[1:]), ("bare forward + backward", bare.bare[1:])):
        table.add_row(name, *(f"{v:.1f}" for v in (float(np.median(values)), min(values), max(values))))
    console.print(table)
    console.print(f"training / bare: {float(np.median(ratios)):.3f} (median of the rounds' ratios)")
    around = environment(device)
    shape = config.network
    console.print(
        f"{shape.image_size[0]}x{shape.image_size[1]} px, width {shape.width}, batch "
        f"{config.batch.vehicles} x {config.batch.images}, {config.run.precision}, "
        f"{config.run.workers} workers; {around['machine']['device']}, "
        f"{around['machine']['threads']} threads, torch {around['versions']['torch']}",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
