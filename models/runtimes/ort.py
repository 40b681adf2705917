"""ONNX Runtime: its sessions, and a bundle's embedder on the CPU."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models.bundle import Bundle, BundleError
from models.preprocessing import Pixels, normalise
from models.runtimes.forward import Floats, Loaded, RuntimeNotAvailableError, RuntimeOptions, joined
from models.runtimes.libraries import preload
from models.runtimes.trial import PROVIDERS


def open_session(
    model: Path | bytes,
    runtime: str,
    threads: int | None,
    provider_options: dict[str, Any] | None = None,
    *,
    fixed: Mapping[str, int] | None = None,
) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on one runtime, which never falls back to another by itself.

    Operators that CUDA's provider does not have still run on the CPU, as ONNX Runtime always does it;
    `nodes_of` tells.

    Args:
        model: an ONNX file, or the bytes of one.
        runtime: one of `PROVIDERS`.
        threads: CPU threads of one inference; None for all cores.
        provider_options: for the provider, by the names of ONNX Runtime's documentation.
        fixed: name of a length that the file leaves open -> the one length that the session takes.

    Raises:
        BundleError: the file is no model that ONNX Runtime can load.
        RuntimeNotAvailableError: the provider is offered but does not start here.
    """
    options = onnxruntime.SessionOptions()
    # Weights may lie in the file as 8-bit integers; unfold them once, at load time.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for name, length in (fixed or {}).items():
        options.add_free_dimension_override_by_name(name, length)
    if threads:
        options.intra_op_num_threads = threads
    wanted = PROVIDERS[runtime]
    if runtime != "cpu":
        preload()
    providers = [(wanted, provider_options or {})]
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises a family of its own without a common base
        what = model if isinstance(model, Path) else "a graph of the program's own"
        raise BundleError(f"{what}: ONNX Runtime cannot load it: {error}") from error
    if session.get_providers()[0] != wanted:
        raise RuntimeNotAvailableError(
            f"{wanted} does not start here; see ONNX Runtime's message above, or choose another runtime"
        )
    return session


def nodes_of(session: onnxruntime.InferenceSession) -> Mapping[str, int]:
    """How many nodes of a session's graph run on which provider, as ONNX Runtime assigned them."""
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts.most_common())


def load(bundle: Bundle, options: RuntimeOptions) -> Loaded:
    """The bundle's embedder on ONNX Runtime, on the CPU.

    On a CPU's several threads there are two ways through it. One image has all threads at work on each
    operator, and they wait for each other after it. A batch that divides evenly among them goes through in
    parts, one a thread, which wait for each other once, at the end: where other work takes a core away for a
    moment, the others go on. The second way has weights of its own, as a session's threads are its own.

    Raises:
        BundleError, RuntimeNotAvailableError: see `open_session`.
    """
    spec = bundle.manifest.input
    outputs = ["descriptor"] + (["strips"] if bundle.manifest.strips else [])
    session = open_session(bundle.embedder, "cpu", options.threads)
    together = _run(session, outputs)
    threads = options.threads or os.cpu_count() or 1
    if threads == 1 or max(options.batch_sizes) < threads:
        return Loaded("cpu", lambda images: together(normalise(images, spec)), nodes_of(session))
    alone = _run(open_session(bundle.embedder, "cpu", 1), outputs)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="embedder-part")

    def forward(images: Pixels) -> tuple[Any, Any]:
        given = normalise(images, spec)
        if len(given) % threads:
            return together(given)
        return joined(pool.map(alone, np.split(given, threads)))

    return Loaded("cpu", forward, nodes_of(session))


def _run(session: onnxruntime.InferenceSession, outputs: list[str]) -> Callable[[Floats], tuple[Any, Any]]:
    def run(images: Floats) -> tuple[Any, Any]:
        results = session.run(outputs, {"images": images})
        return results[0], results[1] if len(results) > 1 else None

    return run
