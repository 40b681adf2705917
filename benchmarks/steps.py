"""Milliseconds of a training step on random images, for each mixer setting and memory layout.

python -m benchmarks.steps [--side 256] [--batch 48 --batch 256] [--steps 30] [--row both] [--compile]

A step is the forward pass in bf16, all losses, the backward pass and the optimiser's step; nothing is loaded.
`benchmarks.training` measures the same with the loader on.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from models.network import LKAReID
from models.shape import NetworkConfig
from training.config.files import load_config
from training.distributed import choose_device
from training.embedder.branch_losses import embedder_loss
from training.embedder.optimiser import make_optimiser
from training.reporting.provenance import environment
from training.studies.table2 import ROWS, TITLES

WARM_UP = 5
EMBEDDER = load_config(Path(__file__).parents[1] / "configs" / "vehicle-2cam.yaml")


def seconds(
    row: str, side: int, batch: int, steps: int, device: torch.device, *, last: bool, compiled: bool
) -> float:
    """Mean time of a step, after a few that are not counted."""
    torch.manual_seed(0)
    network = LKAReID(NetworkConfig(ROWS[row], v1=True, image_size=(side, side), strips=4), 324).to(device)
    layout = torch.channels_last if last else torch.contiguous_format
    network.to(memory_format=layout)  # type: ignore[call-overload]
    learn = torch.compile(network.learn) if compiled else network.learn
    optimiser = make_optimiser(network, EMBEDDER.optimiser)
    images = torch.randn(batch, 3, side, side, device=device).contiguous(memory_format=layout)
    labels = torch.arange(batch // 2, device=device).repeat_interleave(2)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            output = learn(images)
        losses = embedder_loss(network.config.branches, output, labels, EMBEDDER.losses)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(WARM_UP):
        step()
    wait()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return (time.perf_counter() - started) / steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=256, help="of the images, px")
    parser.add_argument(
        "--batch", type=int, action="append", help="images a step, even; may be repeated; default: 54"
    )
    parser.add_argument("--compile", action="store_true", help="as run.compile does")
    parser.add_argument("--steps", type=int, default=30, help="counted")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="may be repeated; default: all")
    arguments = parser.parse_args()
    device = choose_device("auto")
    torch.backends.cudnn.benchmark = True
    how = ", compiled" if arguments.compile else ""
    table = Table(title=f"a training step on images of {arguments.side} px{how}")
    for column in ("", "layout", "batch", "ms", "images/s"):
        table.add_column(column, justify="left" if column in ("", "layout") else "right")
    for row, last, batch in product(arguments.row or ROWS, (True, False), arguments.batch or [54]):
        taken = seconds(
            row, arguments.side, batch, arguments.steps, device, last=last, compiled=arguments.compile
        )
        layout = "channels last" if last else "plain"
        table.add_row(TITLES[row], layout, f"{batch}", f"{1000 * taken:.1f}", f"{batch / taken:.0f}")
    console = Console()
    console.print(table)
    around = environment(device)
    console.print(f"{around['machine']['device']}, torch {around['versions']['torch']}", highlight=False)


if __name__ == "__main__":
    main()
