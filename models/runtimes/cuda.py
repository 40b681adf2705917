"""ONNX Runtime on CUDA: CUDA graphs for the batch sizes, and several batches at the same time.

Both are tried before they serve, and left out with the reason where they fail: what they answer to random
images of every batch size is compared with the answers of a session that does without. A CUDA graph that
cannot be recorded may end its process, for ONNX Runtime throws while it takes such a session down; so a
process of its own tries it first.

This follows ONNX Runtime's documentation and source; it was not run on a GPU where it was written, for want
of one. Tests run it on the CPU, where ONNX Runtime passes over a graph's number.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from models.childprocess import command_line
from models.runtimes.binding import NORMALISATION, Bound
from models.runtimes.forward import Forward, Loaded, Precision, RuntimeOptions
from models.runtimes.ort import nodes_of, open_session
from models.runtimes.streams import (
    GRAPHS,
    SWITCHED_OFF,
    Stream,
    open_streams,
    trial_batches,
    with_graphs,
)
from models.runtimes.trial import MESSAGE, cuda_options

SAID = "CUDA graphs: "
"""What its answer begins with."""
TRIAL_S = 300.0
"""s that the process which tries CUDA graphs may take."""


def load(bundle: Bundle, options: RuntimeOptions, provider: str = "cuda") -> Loaded:
    """The bundle's embedder on CUDA, for as many threads at the same time as the answer's `streams`.

    Args:
        bundle: a checked one.
        options: its precision (`auto` is TF32), the batch sizes, whether graphs are made, how many streams.
        provider: `cpu` stands in for the GPU in tests.

    Raises:
        BundleError, RuntimeNotAvailableError: see `models.runtimes.ort.open_session`.
    """
    left_out: dict[str, str] = {}
    why = why_no_process_records(bundle.path, options, provider) if options.graphs else SWITCHED_OFF
    first = Stream()
    plain = first.run(partial(_opened, bundle, options, provider))
    nodes = nodes_of(plain.session)
    forward: Forward = plain
    if why is None:
        recorded = first.run(partial(_recorded, bundle, options, provider, plain))
        if isinstance(recorded, str):
            why = recorded
        else:
            # The session without graphs, and its weights on the GPU, are let go of.
            forward = recorded
    del plain
    if why is not None:
        left_out[GRAPHS] = why
    more = partial(_opened, bundle, options, provider, records=why is None)
    opened = open_streams((first, forward), more, options.streams, _batches(bundle, options))
    precision = "f32" if options.precision == "f32" else "tf32"
    return Loaded(f"cuda-{precision}", opened.forward, nodes, opened.count, {**left_out, **opened.left_out})


def _batches(bundle: Bundle, options: RuntimeOptions) -> list[Any]:
    return trial_batches(options.batch_sizes, bundle.manifest.input.height, bundle.manifest.input.width)


def _opened(bundle: Bundle, options: RuntimeOptions, provider: str, *, records: bool = False) -> Bound:
    """The embedder with its memory on the GPU; the thread that makes it with graphs must call it, too."""
    manifest = bundle.manifest
    on_gpu = provider == "cuda"
    settings: dict[str, Any] = dict(cuda_options(options.device, options.precision)) if on_gpu else {}
    graphs = {"enable_cuda_graph": 1} if records and on_gpu else {}
    session = open_session(bundle.embedder, provider, options.threads, settings | graphs)
    normalising = open_session(NORMALISATION, provider, options.threads, settings)
    outputs: dict[str, tuple[int, ...]] = {"descriptor": (manifest.descriptor_dim,)}
    if manifest.strips is not None:
        outputs["strips"] = manifest.strips
    device = (provider, options.device)
    return Bound(session, normalising, outputs, manifest.input, options.batch_sizes, device, records=records)


def _recorded(bundle: Bundle, options: RuntimeOptions, provider: str, plain: Bound) -> Bound | str:
    """The embedder with a CUDA graph of every batch size; or why it cannot be used."""
    make = partial(_opened, bundle, options, provider, records=True)
    return with_graphs(make, plain, _batches(bundle, options))


def why_no_process_records(folder: Path, options: RuntimeOptions, provider: str) -> str | None:
    """Why CUDA graphs of the least and the largest batch cannot be used, by a process of its own, or None.

    Args:
        folder: of the bundle.
        options: as for `load`.
        provider: as for `load`.
    """
    sizes = sorted({options.batch_sizes[0], options.batch_sizes[-1]})
    arguments: list[str | int] = [
        str(folder),
        provider,
        options.device,
        options.precision,
        options.threads or 0,
        *sizes,
    ]
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command_line(__name__, arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TRIAL_S,
            # Passwords are none of its business.
            env={name: value for name, value in os.environ.items() if not name.startswith("LKA_REID_")},
            # Ctrl-C at a terminal is for the parent alone.
            process_group=0,
        )
    except subprocess.TimeoutExpired:
        return f"a process that tried them took more than {TRIAL_S:g} s"
    except OSError as error:
        return f"no process that tries them can be started: {error.strerror or error}"
    for line in done.stdout.decode(errors="replace").splitlines() if done.returncode == 0 else ():
        # Libraries may say something, too.
        if line.startswith(SAID):
            why: str | None = json.loads(line.removeprefix(SAID))
            return why
    code = done.returncode
    status = f"by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"with {code}"
    last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
    return f"a process that tried them ended {status}: {last}"[:MESSAGE]


def main(folder: str, provider: str, device: int, precision: Precision, threads: int, *sizes: int) -> None:
    """The process that tries CUDA graphs: after `SAID` it prints as JSON why they cannot be used, or null."""
    bundle = Bundle.load(Path(folder))
    options = RuntimeOptions(threads or None, precision, device, sizes)
    recorded = _recorded(bundle, options, provider, _opened(bundle, options, provider))
    print(SAID + json.dumps(recorded if isinstance(recorded, str) else None), flush=True)
