"""The forward pass of embedders in turn, image by image: the default bundle, others, and untrained networks.

python -m benchmarks.embedders [--config configs/lkca-edge.yaml ...] [--bundle runs/embedder/bundle ...]

A configuration's network is made with random weights and exported as its bundle would be: its speed and its
size do not depend on what it has learned.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.provenance import in_words, provenance, write_json
from benchmarks.timing import Timing, table
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.network import LKAReID
from models.runtime import Models
from training.config.files import load_config
from training.export.bundle import export_bundle, for_inference


def untrained(config: Path, folder: Path) -> Bundle:
    """A bundle of a configuration's network with random weights, at the size that it would be served at."""
    chosen = load_config(config)
    torch.manual_seed(0)
    network = LKAReID(chosen.network.build()).with_image_size(chosen.served_size).eval()
    precision = chosen.bundle.precision
    served = for_inference(network, precision)
    export_bundle(
        folder, name=config.stem, network=served, reranker=None, precision=precision, spec=chosen.served_spec
    )
    return Bundle.load(folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bundle", type=Path, action="append", default=[], help="beside the default one; may be repeated"
    )
    parser.add_argument("--config", type=Path, action="append", default=[], help="may be repeated")
    parser.add_argument("--runtime", default="cpu", help="as `lka-reid serve` takes it")
    parser.add_argument("--rounds", type=int, default=30, help="images each")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        base = DEFAULT_BUNDLE.name
        bundles = {base: Bundle.load(DEFAULT_BUNDLE)}
        bundles |= {str(path): Bundle.load(path) for path in arguments.bundle}
        for config in arguments.config:
            bundles[config.stem] = untrained(config, Path(folder) / config.stem)
        models = {name: Models.load(bundle, arguments.runtime) for name, bundle in bundles.items()}
        sizes = {name: bundle.embedder.stat().st_size for name, bundle in bundles.items()}
        raw = Timing(base, 1)
        timings = {name: raw if name == raw.name else Timing(name, 1, raw=raw) for name in models}
        source = np.random.default_rng(0)
        for turn in range(arguments.rounds + 1):
            for name, each in models.items():
                spec = bundles[name].manifest.input
                images = source.integers(0, 256, (1, 3, spec.height, spec.width)).astype(np.uint8)
                started = time.perf_counter()
                each.embedder.embed(images)
                if turn:
                    timings[name].add(time.perf_counter() - started)
    origin = provenance(("onnxruntime", "openvino", "torch"))
    console.print(table(f"one image, runtime {arguments.runtime}", list(timings.values()), raw.name))
    for name, size in sizes.items():
        console.print(f"{name}: embedder.onnx {size / 1e6:.2f} MB", highlight=False)
    console.print(in_words(origin), soft_wrap=True, highlight=False)
    if arguments.json:
        figures = {"timings": [t.as_json() for t in timings.values()], "bytes": sizes, "provenance": origin}
        write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
