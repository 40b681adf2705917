"""The two views of LKCA, attention and convolution, beside each other: forward, and forward with backward.

The sizes are the mixer's in stage 4 (512 channels, maps of 16x16 and 8x8) and ViT-LKCA's (210 channels, 8x8).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.provenance import in_words, provenance, write_json
from benchmarks.timing import Timing, table
from models.mixers.lkca import FASTER, VIEWS, View

SIZES = ((1, 512, 16), (1, 512, 8), (8, 512, 16), (32, 210, 8))
"""(batch, channels, side of the map)."""


def passed(view: View, values: Tensor, kernel: Tensor, *, learn: bool) -> float:
    """Seconds of one pass, and of its gradients if asked for."""
    started = time.perf_counter()
    if learn:
        view(values, kernel).sum().backward()
    else:
        with torch.inference_mode():
            view(values, kernel)
    if values.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measure(device: torch.device, rounds: int) -> list[Timing]:
    """The views in turn, so that what else the machine does falls on both alike; the first round warms up."""
    timings: list[Timing] = []
    for batch, channels, side in SIZES:
        values = torch.randn(batch, channels, side, side, device=device, requires_grad=True)
        kernel = torch.randn(1, 2 * side - 1, 2 * side - 1, device=device, requires_grad=True)
        for learn in (False, True):
            what = f"{channels} x {side} x {side}, {'with backward' if learn else 'forward'}"
            raw = Timing(f"{what}: {FASTER}", batch)
            others = {name: Timing(f"{what}: {name}", batch, raw=raw) for name in VIEWS if name != FASTER}
            both = {FASTER: raw, **others}
            for turn in range(rounds + 1):
                for name, timing in both.items():
                    seconds = passed(VIEWS[name], values, kernel, learn=learn)
                    if turn:
                        timing.add(seconds)
            timings += both.values()
    return timings


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="repetitions of each")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    timings = measure(device, arguments.rounds)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    origin = provenance(("torch",), name)
    console = Console()
    console.print(table("LKCA's two views, ms an image", timings, f"the view `{FASTER}`, same size"))
    console.print(f"{in_words(origin)}; {torch.get_num_threads()} threads", soft_wrap=True, highlight=False)
    if arguments.json:
        write_json(arguments.json, {"provenance": origin, "timings": [t.as_json() for t in timings]})


if __name__ == "__main__":
    main()
