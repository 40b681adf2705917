"""Milliseconds a probe for re-ranking ten candidates, and their share of a whole `/query`.

python -m benchmarks.rerank [--rounds 10] [--images 1000] [--runtime auto] [--threads 1] [--json FILE]
python -m benchmarks.rerank --device cuda [--rounds 10] [--json FILE]

On a CPU: the shipped re-ranker on every runtime that is there, with and without the fetch of the strips from
a gallery, beside whole queries to a service in this process. All take turns, so that all run on the machine
in the same state. Probes and candidates are the demo's images. "As served" is what the service runs.

On a GPU: the same network in torch, which needs no other package of ours, in three precisions, beside the
matrix products in it alone; times are CUDA events'. Its weights are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.provenance import in_words, write_json
from models.bundle import DEFAULT_BUNDLE


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="whose re-ranker is measured")
    parser.add_argument("--rounds", type=int, default=10, help="turns that everything gets")
    parser.add_argument("--images", type=int, default=1000, help="in the gallery, on a CPU")
    parser.add_argument("--runtime", default="auto", help="of the service's embedder, on a CPU")
    parser.add_argument(
        "--threads", type=int, default=1, help="of the runtimes that are not as served, on a CPU"
    )
    parser.add_argument("--json", type=Path, help="file for the figures as JSON")
    arguments = parser.parse_args()
    console = Console()
    # Each where it is chosen: the machine with the GPU need not have what serving needs, nor the other torch.
    if arguments.device == "cuda":
        from benchmarks import rerank_cuda

        missing = rerank_cuda.missing()
        if missing is not None:
            console.print(f"nothing measured: {missing}", highlight=False, soft_wrap=True)
            return
        figures = rerank_cuda.report(console, arguments.bundle, arguments.rounds)
    else:
        from benchmarks import rerank_cpu

        figures = rerank_cpu.report(
            console,
            arguments.bundle,
            rounds=arguments.rounds,
            images=arguments.images,
            runtime=arguments.runtime,
            threads=arguments.threads,
        )
    console.print(in_words(figures["provenance"]), highlight=False, soft_wrap=True)
    if arguments.json is not None:
        write_json(arguments.json, {"benchmark": "rerank"} | _plain(vars(arguments)) | figures)


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that say what was measured, without folders of this machine."""
    named = {key: value for key, value in arguments.items() if key != "json"}
    return {"arguments": named | {"bundle": arguments["bundle"].name}}


if __name__ == "__main__":
    main()
