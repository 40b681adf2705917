"""ONNX Runtime on CUDA: a graph in 16 bits, CUDA graphs for the batch sizes, and several batches at the same
time.

Each is tried before it serves, and left out with the reason where it fails: what it answers to random
images of every batch size is compared with the answers of a session that does without. Either graph may end
its process: one in 16 bits where a kernel does not take what it is given, and a CUDA graph that cannot be
recorded, since ONNX Runtime throws while it takes its session down. So a process of its own tries each first.

This follows ONNX Runtime's documentation and source; it was not run on a GPU where it was written, for want
of one. Tests run it on the CPU, which records no graph.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from models.bundle import EMBEDDER_F16, Bundle
from models.childprocess import command_line
from models.runtimes.binding import NORMALISATION, Bound
from models.runtimes.forward import (
    Forward,
    Loaded,
    Precision,
    RuntimeNotAvailableError,
    RuntimeOptions,
)
from models.runtimes.ort import nodes_of, open_session
from models.runtimes.streams import (
    GRAPHS,
    SWITCHED_OFF,
    Stream,
    agreeing,
    open_streams,
    trial_batches,
)
from models.runtimes.trial import MESSAGE, cuda_options

SAID = "tried: "
"""What the answer of a process that tries something begins with."""
TRIAL_S = 300.0
"""s that such a process may take."""
HALF = "f16"
"""The graph in 16 bits, among what is left out."""


@dataclass(frozen=True)
class Opening:
    """How the embedder is opened: each part of it was tried before it stands here.

    Attributes:
        bundle: a checked one.
        options: as for `load`; `f16` means the graph in 16 bits.
        provider: as for `load`.
    """

    bundle: Bundle
    options: RuntimeOptions
    provider: str

    def open(self, *, records: bool = False) -> Bound:
        """With its memory on the GPU; the thread that makes it with CUDA graphs must call it, too."""
        manifest, options, on_gpu = self.bundle.manifest, self.options, self.provider == "cuda"
        settings: dict[str, Any] = dict(cuda_options(options.device, options.precision)) if on_gpu else {}
        graphs = {"enable_cuda_graph": 1} if records and on_gpu else {}
        model = self.bundle.embedder_f16 if options.precision == "f16" else None
        sessions = {
            size: open_session(
                model or self.bundle.embedder,
                self.provider,
                options.threads,
                settings | graphs,
                # Else the graph works its shapes out anew for each batch, on the CPU, and cannot be recorded.
                fixed={"batch": size},
            )
            for size in options.batch_sizes
        }
        normalising = open_session(NORMALISATION, self.provider, options.threads, settings)
        outputs: dict[str, tuple[int, ...]] = {"descriptor": (manifest.descriptor_dim,)}
        if manifest.strips is not None:
            outputs["strips"] = manifest.strips
        return Bound(
            sessions,
            normalising,
            outputs,
            manifest.input,
            (self.provider, options.device),
            records=records,
        )

    def recorded(self, plain: Forward) -> Bound | str:
        """With a CUDA graph of every batch size; or why they cannot be used."""
        return agreeing(partial(self.open, records=True), plain, self.batches)

    @property
    def batches(self) -> list[Any]:
        """To try it with, of every size that will be run."""
        spec = self.bundle.manifest.input
        return trial_batches(self.options.batch_sizes, spec.height, spec.width)


def load(bundle: Bundle, options: RuntimeOptions, provider: str = "cuda") -> Loaded:
    """The bundle's embedder on CUDA, for as many threads at the same time as the answer's `streams`.

    Args:
        bundle: a checked one.
        options: its precision (`auto` is the graph in 16 bits where the bundle has one that agrees, else
            TF32), the batch sizes, whether graphs are made, how many streams.
        provider: `cpu` stands in for the GPU in tests.

    Raises:
        BundleError: see `models.runtimes.ort.open_session`.
        RuntimeNotAvailableError: the same; or `f16` was asked for, and the bundle has no such graph, or one
            that does not agree.
    """
    if options.precision == "f16" and bundle.embedder_f16 is None:
        raise RuntimeNotAvailableError(
            f"precision f16 needs {EMBEDDER_F16} in the bundle, and {bundle.path} has none; write one with "
            f"`lka-reid add-f16`, or set LKA_REID_PRECISION=auto"
        )
    left_out: dict[str, str] = {}
    first = Stream()
    opening, plain = first.run(partial(_tried, Opening(bundle, options, provider), left_out))
    nodes = nodes_of(plain.sessions[max(plain.sessions)])
    forward: Forward = plain
    why = why_no_process_runs(opening, records=True) if options.graphs else SWITCHED_OFF
    if why is None:
        recorded = first.run(partial(opening.recorded, plain))
        if isinstance(recorded, str):
            why = recorded
        else:
            # The session without graphs, and its weights on the GPU, are let go of.
            forward = recorded
    del plain
    if why is not None:
        left_out[GRAPHS] = why
    more = partial(opening.open, records=why is None)
    opened = open_streams((first, forward), more, options.streams, opening.batches)
    computed = opening.options.precision
    name = "cuda-" + ("tf32" if computed == "auto" else computed)
    return Loaded(name, opened.forward, nodes, opened.count, {**left_out, **opened.left_out})


def _tried(opening: Opening, left_out: dict[str, str]) -> tuple[Opening, Bound]:
    """With the graph in 16 bits, where it is wanted and agrees; and so opened."""
    wanted = opening.options.precision
    if wanted == "f16":
        opening = replace(opening, options=replace(opening.options, precision="auto"))
    plain = opening.open()
    if opening.bundle.embedder_f16 is not None and wanted in ("auto", "f16"):
        half = replace(opening, options=replace(opening.options, precision="f16"))
        made = why_no_process_runs(half) or agreeing(half.open, plain, opening.batches)
        if not isinstance(made, str):
            opening, plain = half, made
        elif wanted == "f16":
            raise RuntimeNotAvailableError(
                f"{opening.bundle.embedder_f16} does not serve: {made}; write it anew with `lka-reid "
                "add-f16`, or set LKA_REID_PRECISION=f32"
            )
        else:
            left_out[HALF] = made
    return opening, plain


def why_no_process_runs(opening: Opening, *, records: bool = False) -> str | None:
    """Why a process of its own cannot run the least and the largest batch; None where it has run them.

    Args:
        opening: how the embedder is opened.
        records: whether with CUDA graphs, too, which must answer as it does without.
    """
    options = opening.options
    sizes = sorted({options.batch_sizes[0], options.batch_sizes[-1]})
    arguments: list[str | int] = [
        str(opening.bundle.path),
        opening.provider,
        options.device,
        options.precision,
        options.threads or 0,
        int(records),
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
        return f"a process that tried it took more than {TRIAL_S:g} s"
    except OSError as error:
        return f"no process that tries it can be started: {error.strerror or error}"
    for line in done.stdout.decode(errors="replace").splitlines() if done.returncode == 0 else ():
        # Libraries may say something, too.
        if line.startswith(SAID):
            why: str | None = json.loads(line.removeprefix(SAID))
            return why
    code = done.returncode
    status = f"by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"with {code}"
    last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
    return f"a process that tried it ended {status}: {last}"[:MESSAGE]


def main(
    folder: str, provider: str, device: int, precision: Precision, threads: int, records: int, *sizes: int
) -> None:
    """The process that tries: after `SAID` it prints as JSON why the embedder cannot be used so, or null."""
    options = RuntimeOptions(threads or None, precision, device, sizes)
    opening = Opening(Bundle.load(Path(folder)), options, provider)
    plain = opening.open()
    for batch in opening.batches:
        plain(batch)
    recorded = opening.recorded(plain) if records else plain
    print(SAID + json.dumps(recorded if isinstance(recorded, str) else None), flush=True)
