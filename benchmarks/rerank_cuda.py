"""The re-ranker in torch on a GPU: three precisions, three batches, beside its matrix products alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.progress import track

from benchmarks.provenance import provenance
from benchmarks.timing import Timing, table
from models.bundle import MANIFEST
from models.manifest import Manifest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models.reranker import StripReranker

BATCHES = (1, 16, 256)
PRECISIONS = ("fp32", "fp16", "bf16")
REPETITIONS = 20
PACKAGES = ("torch", "numpy")
RAW = "bare matrix products"


class CandidateLists(NamedTuple):
    """Probes `[B, s, d]`, candidates `[B, n, s, d]`, similarities `[B, n]`."""

    probes: Tensor
    candidates: Tensor
    similarities: Tensor


def missing() -> str | None:
    """What keeps the GPU from being measured, or None."""
    if find_spec("torch") is None:
        return "torch is not installed"
    import torch

    return None if torch.cuda.is_available() else f"torch {torch.__version__} sees no GPU"


def report(console: Console, bundle: Path, rounds: int) -> dict[str, Any]:
    """Measure, print, and give the figures as plain types."""
    import torch

    manifest = Manifest.model_validate_json((bundle / MANIFEST).read_bytes())
    if manifest.reranker is None or manifest.strips is None:
        raise SystemExit(f"{bundle}: has no re-ranker")
    network = lively(manifest.reranker.config).to("cuda")
    timings, agreements = [], []
    for precision in track(PRECISIONS, "measuring", console=console):
        lists = random_lists(max(BATCHES), manifest.reranker.candidates, manifest.strips, "cuda")
        agreements.append(agreement(network, lists, precision))
        for batch in BATCHES:
            part = CandidateLists(*(each[:batch] for each in lists))
            timings += measure(network, part, precision, rounds * REPETITIONS)
    origin = provenance(PACKAGES, torch.cuda.get_device_name())
    origin["versions"]["cuda"] = torch.version.cuda
    candidates, (strips, width) = manifest.reranker.candidates, manifest.strips
    title = f"re-ranking {candidates} candidates of {strips} strips x {width}"
    console.print(table(title, timings, f"the {RAW}, same precision and batch"))
    for found in agreements:
        console.print(
            f"{found['precision']}: {found['same_order']:.1%} of {found['lists']} random lists in the order "
            f"of fp32, distances at most {found['largest_gap']:.2g} apart",
            highlight=False,
        )
    return {
        "provenance": origin,
        "timings": [timing.as_json() for timing in timings],
        "agreement": agreements,
    }


def lively(config: dict[str, Any]) -> StripReranker:
    """A re-ranker with random weights everywhere: untrained, CarGait's attention would count for nothing."""
    import torch

    from models.reranker import RerankerConfig, StripReranker, mixing

    torch.manual_seed(0)
    network = StripReranker(RerankerConfig(**config)).eval().requires_grad_(False)
    if network.config.distance == "place":
        torch.nn.init.normal_(mixing(network.probe_attention).output.weight, std=0.05)
    return network


def random_lists(batch: int, candidates: int, strips: tuple[int, int], device: str) -> CandidateLists:
    """Float32 strips of unit length, the candidates' not far from their probe's."""
    import torch
    from torch.nn.functional import normalize

    source = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source, device=device)

    probes = normalize(random(batch, *strips), dim=-1)
    others = normalize(probes.unsqueeze(1) + 0.05 * random(batch, candidates, *strips), dim=-1)
    return CandidateLists(probes, others, torch.rand(batch, candidates, generator=source, device=device))


def agreement(network: StripReranker, lists: CandidateLists, precision: str) -> dict[str, Any]:
    """How a precision's distances and orders compare with fp32's."""
    import torch

    with torch.inference_mode():
        expected = network(*lists)
        found = in_precision(network, precision)(*converted(lists, precision)).float()
    same = (expected.argsort(dim=1) == found.argsort(dim=1)).all(dim=1)
    return {
        "precision": precision,
        "lists": len(same),
        "same_order": float(same.float().mean()),
        "largest_gap": float((expected - found).abs().max()),
    }


def measure(network: StripReranker, lists: CandidateLists, precision: str, repetitions: int) -> list[Timing]:
    """The products alone, the network launch by launch and as one CUDA graph, and with the way to and fro.

    Args:
        network: float32, on the GPU.
        lists: float32, on the GPU.
        precision: one of `PRECISIONS`.
        repetitions: of each.
    """
    import torch

    batch = len(lists.probes)
    cast, given = in_precision(network, precision), converted(lists, precision)
    with torch.inference_mode():
        products = recorded(bare_products(cast, given))
        replayed, answer = recorded_with_answer(lambda: cast(*given))
        raw = Timing(f"{precision}, {RAW}", batch)
        eager = Timing(f"{precision}, kernel by kernel", batch, raw=raw)
        graph = Timing(f"{precision}, CUDA graph", batch, raw=raw)
        travelled = Timing(f"{precision}, CUDA graph, from the host and back", batch, raw=raw)
        by_events(raw, products, repetitions)
        by_events(eager, lambda: cast(*given), repetitions)
        by_events(graph, replayed, repetitions)
        # The gallery's strips lie in the host's memory, in half precision.
        host = [each.half().cpu().pin_memory() for each in lists]

        def there_and_back() -> None:
            for place, each in zip(given, host, strict=True):
                place.copy_(each.to("cuda", non_blocking=True))
            replayed()
            answer.cpu()

        by_clock(travelled, there_and_back, repetitions)
    return [raw, eager, graph, travelled]


def in_precision(network: StripReranker, precision: str) -> StripReranker:
    """A copy that computes in a precision throughout."""
    import copy

    return copy.deepcopy(network).to(_dtype(precision))


def converted(lists: CandidateLists, precision: str) -> CandidateLists:
    """A copy of the lists in a precision."""
    return CandidateLists(*(each.to(_dtype(precision), copy=True) for each in lists))


def bare_products(network: StripReranker, lists: CandidateLists) -> Callable[[], Any]:
    """The products with learned, shared weights: queries and keys of all images, and, where strips are mixed,
    their values and the output of all pairs.
    """
    import torch

    from models.reranker import mixing

    attention = network.probe_attention
    pairs = lists.candidates.flatten(0, 2)
    images = torch.cat([lists.probes.flatten(0, 1), pairs])
    layers = [attention.query, attention.key]
    if network.config.distance == "attention":
        looking = torch.cat([layer.weight for layer in layers]).T
        return lambda: (images @ looking,)
    mixed = mixing(attention)
    projection = torch.cat([layer.weight for layer in (*layers, mixed.value)]).T
    output = mixed.output.weight.T

    def run() -> tuple[Tensor, Tensor]:
        return images @ projection, pairs @ output

    return run


def recorded(run: Callable[[], Any]) -> Callable[[], None]:
    """The run as a CUDA graph."""
    return recorded_with_answer(run)[0]


def recorded_with_answer(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """The run as a CUDA graph, and its answer, which every replay overwrites."""
    import torch

    # On a stream of its own, as torch asks: libraries choose their algorithms on their first runs.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = run()

    def replay(_kept: object = (run, answer)) -> None:
        # The graph knows addresses, not tensors: what it reads has to live as long as it.
        graph.replay()

    return replay, answer


def by_events(timing: Timing, run: Callable[[], Any], repetitions: int) -> None:
    """Time runs on the GPU's own clock; the first few are not counted."""
    import torch

    for _ in range(5):
        run()
    marks = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        for _ in range(repetitions)
    ]
    for before, after in marks:
        before.record()
        run()
        after.record()
    torch.cuda.synchronize()
    for before, after in marks:
        timing.add(before.elapsed_time(after) / 1000)


def by_clock(timing: Timing, run: Callable[[], Any], repetitions: int) -> None:
    """Time runs that end on the host, by the host's clock; the first few are not counted."""
    for repetition in range(repetitions + 5):
        started = time.perf_counter()
        run()
        if repetition >= 5:
            timing.add(time.perf_counter() - started)


def _dtype(precision: str) -> torch.dtype:
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
