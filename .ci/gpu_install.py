"""Whether the extra [gpu] installs and starts as far as a machine without a GPU can tell.

It installs locks/gpu.txt into an environment that is removed at the end, and looks there, in processes of
their own, whether every library that ONNX Runtime for CUDA and FAISS need is found, the driver's alone left
out, and whether both run on the CPU beside each other. Any Python from 3.11 on; nothing else is needed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED_BYTES = 8 * 1024**3
"""Free bytes: the environment has 4 GB, and pip unpacks what it has downloaded."""
LIMIT_S = 20 * 60
ORDERS = ("onnxruntime first", "faiss first")


def main() -> None:
    """Install, look, and say what was found; status 1 where something is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--within", type=Path, help="folder for the environment; the system's for temporary files"
    )
    parser.add_argument("--inside", choices=ORDERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        look(given.inside)
        return
    with tempfile.TemporaryDirectory(prefix="gpu-install-", dir=given.within) as folder:
        began = time.monotonic()
        python = install(Path(folder), began)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        print(
            f"installed in {time.monotonic() - began:.0f} s; the environment has {size / 1e9:.1f} GB",
            flush=True,
        )
        for order in ORDERS:
            environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
            command = [python, __file__, "--inside", order]
            if subprocess.run(command, env=environment, check=False).returncode:
                fail(f"with {order} it does not start")
    print("the extra [gpu] installs, and lacks nothing but the driver")


def install(folder: Path, began: float) -> str:
    """The interpreter of an environment in this folder, with the lock installed."""
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        fail(
            f"{folder} has {free / 1e9:.1f} GB free, and {NEEDED_BYTES / 1e9:.0f} are needed; free some, or "
            "name another folder with --within"
        )
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    command = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--progress-bar", "off"]
    command += ["--require-hashes", "--requirement", str(ROOT / "locks" / "gpu.txt")]
    print("installing locks/gpu.txt, 2 GB to download", flush=True)
    try:
        done = subprocess.run(command, check=False, timeout=LIMIT_S - (time.monotonic() - began))
    except subprocess.TimeoutExpired:
        fail(f"the packages did not arrive within {LIMIT_S // 60} minutes")
    if done.returncode:
        fail(
            "the packages of locks/gpu.txt cannot be had from the index that pip uses; see its message above"
        )
    return python


def look(order: str) -> None:
    """In the environment: what is missing, and whether both packages run."""
    if order == "faiss first":
        faiss_runs()
    from models.runtimes import libraries, trial

    driver = libraries.is_loadable(libraries.DRIVER)
    libraries.preload()
    missing = libraries.missing(libraries.provider_file())
    if missing != ([] if driver else [libraries.DRIVER]):
        fail(f"ONNX Runtime's provider for CUDA lacks {', '.join(missing)}")
    if not libraries.is_loadable("libcudnn.so.9"):
        fail("libcudnn.so.9 is missing")
    count = len(libraries.needed(libraries.provider_file()))
    print(f"{order}: {count} libraries needed for CUDA, missing {', '.join(missing) or 'none'}")
    why = trial.why_not_onnxruntime("cpu")
    if why is not None:
        fail(f"ONNX Runtime does not run on the CPU: {why}")
    why = trial.why_not_onnxruntime("cuda")
    print(f"{order}: the runtime cuda {'starts' if why is None else f'is left out, {why.what}'}")
    if not driver and (why is None or libraries.DRIVER not in why.what):
        fail("the missing driver is not what keeps the runtime cuda from starting")
    if order == "onnxruntime first":
        faiss_runs()


def faiss_runs() -> None:
    """FAISS loads its own CUDA and searches on the CPU."""
    import faiss
    import numpy as np

    vectors = np.eye(8, dtype=np.float32)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    found = index.search(vectors, 1)[1].ravel().tolist()
    if found != list(range(8)):
        fail(f"FAISS finds {found}")
    if not hasattr(faiss, "StandardGpuResources"):
        fail("this FAISS is not the one for GPUs")
    print(f"faiss {faiss.__version__} for GPUs searches, and sees {faiss.get_num_gpus()} GPU")


def fail(reason: str) -> None:
    """End with the reason."""
    print(f"check-gpu-install: {reason}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
