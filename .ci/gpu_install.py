"""Whether the extra [gpu] installs and starts as far as a machine without a GPU can tell.

It asks uv what [gpu,train] comes to on Linux: that has to be the torch of constraints.txt, for CUDA 13.0,
with the libraries of locks/gpu.txt. It then installs locks/gpu.txt into an environment that is removed at the
end, and looks there, in processes of their own, whether every library that ONNX Runtime for CUDA and FAISS
need is found, the driver's alone left out, whether all of cuDNN loads, and whether both run on the CPU beside
each other. Any Python from 3.11 on; nothing else is needed. uv knows nothing of pip's index: it takes PyPI,
or what UV_DEFAULT_INDEX names.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
NEEDED_BYTES = 8 * 1024**3
"""Free bytes: the environment has 4 GB, and pip unpacks what it has downloaded."""
LIMIT_S = 20 * 60
"""For all of it."""
RESOLVE_LIMIT_S = 60
LOOK_LIMIT_S = 120
PYTHONS = ("3.11", "3.12", "3.13")
CUDNN = "nvidia-cudnn-cu13"
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
    with tempfile.TemporaryDirectory(prefix="gpu-install-", dir=given.within) as name:
        began, folder = time.monotonic(), Path(name)
        see_space(folder)
        resolve(folder / "uv", began)
        started = time.monotonic()
        python = install(folder / "gpu", began)
        size = sum(path.stat().st_size for path in (folder / "gpu").rglob("*") if path.is_file())
        print(
            f"installed in {time.monotonic() - started:.0f} s; the environment has {size / 1e9:.1f} GB",
            flush=True,
        )
        for order in ORDERS:
            environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
            command = [python, __file__, "--inside", order]
            if run(command, began, f"with {order}, the start", LOOK_LIMIT_S, env=environment).returncode:
                fail(f"with {order} it does not start")
    print("the extra [gpu] installs, and lacks nothing but the driver")


def run(
    command: list[str], began: float, what: str, limit_s: float = LIMIT_S, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command that may take so long, and no longer than is left of the whole."""
    left_s = max(min(limit_s, LIMIT_S - (time.monotonic() - began)), 1)
    try:
        return subprocess.run(command, check=False, timeout=left_s, text=True, **options)
    except subprocess.TimeoutExpired:
        fail(f"{what} had not ended after {left_s:.0f} s")


def see_space(folder: Path) -> None:
    """Fail where the disk is too small."""
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        fail(
            f"{folder} has {free / 1e9:.1f} GB free, and {NEEDED_BYTES / 1e9:.0f} are needed; free some, or "
            "name another folder with --within"
        )


def environment_in(folder: Path) -> str:
    """The interpreter of a new environment in this folder."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return str(folder / "bin" / "python")


def install(folder: Path, began: float) -> str:
    """The interpreter of an environment in this folder, with the lock installed."""
    python = environment_in(folder)
    command = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--progress-bar", "off"]
    command += ["--require-hashes", "--requirement", str(ROOT / "locks" / "gpu.txt")]
    print("installing locks/gpu.txt, 2 GB to download", flush=True)
    left_s = LIMIT_S - len(ORDERS) * LOOK_LIMIT_S - (time.monotonic() - began)
    if run(command, began, "the download", left_s).returncode:
        fail(
            "the packages of locks/gpu.txt cannot be had from the index that pip uses; see its message above"
        )
    return python


def resolve(folder: Path, began: float) -> None:
    """Fail unless [gpu,train] comes to one set of libraries, for ONNX Runtime and for torch."""
    constraints = ROOT / "constraints.txt"
    pinned = pins(constraints.read_text(encoding="utf-8"))
    locked = pins((ROOT / "locks" / "gpu.txt").read_text(encoding="utf-8"))
    command = [environment_in(folder), "-m", "pip", "install", "--quiet", f"uv=={pinned['uv']}"]
    if run(command, began, "the download of uv", RESOLVE_LIMIT_S).returncode:
        fail("uv cannot be had from the index that pip uses; see its message above")
    command = [str(folder / "bin" / "uv"), "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    command += ["--cache-dir", str(folder / "cache"), "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--extra", "gpu", "--extra", "train", str(ROOT / "pyproject.toml")]
    for python in PYTHONS:
        for given, how in (([], "without constraints"), (["--constraints", str(constraints)], "with them")):
            words = [*command, "--python-version", python, *given]
            done = run(words, began, "uv", RESOLVE_LIMIT_S, stdout=subprocess.PIPE)
            what = f"[gpu,train] for Python {python}, {how}"
            if done.returncode:
                fail(f"{what}: there is no such set of packages; see uv's message above")
            wrong = why_not_one_set(pins(done.stdout), pinned, locked if given else {})
            if wrong is not None:
                fail(f"{what}: {wrong}")
    print(f"[gpu,train] comes to torch {pinned['torch']} for CUDA 13.0, cuDNN {pinned[CUDNN]}", flush=True)


def pins(text: str) -> dict[str, str]:
    """The versions in a file of requirements, by name."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE))


def why_not_one_set(found: dict[str, str], pinned: dict[str, str], locked: dict[str, str]) -> str | None:
    """What keeps packages from being those of one CUDA; None where nothing does.

    Args:
        found: what is to be installed.
        pinned: the constraints.
        locked: versions that no package may differ from.
    """
    wanted = ".".join(pinned["torch"].split(".")[:2])
    if not found.get("torch", "").startswith(f"{wanted}."):
        return f"torch {found.get('torch')}, and not {wanted}"
    if not found.get("cuda-toolkit", "").startswith("13.0."):
        return f"CUDA {found.get('cuda-toolkit')} for torch, and not 13.0"
    if "nvidia-cudnn-cu12" in found:
        return "a cuDNN for CUDA 12"
    other = [name for name in locked.keys() & found.keys() if locked[name] != found[name]]
    return f"other versions than locks/gpu.txt of {', '.join(sorted(other))}" if other else None


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
    print(f"{order}: all {load_cudnn()} libraries of cuDNN {metadata.version(CUDNN)} load")
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


def load_cudnn() -> int:
    """Load all that cuDNN's package brings, and say how many; ONNX Runtime leaves out silently what fails."""
    files = [file for file in metadata.files(CUDNN) or [] if re.fullmatch(r"libcudnn\w*\.so\.9", file.name)]
    if "libcudnn.so.9" not in {file.name for file in files}:
        fail("libcudnn.so.9 is missing")
    for file in files:
        try:
            ctypes.CDLL(str(file.locate()))
        except OSError as error:
            fail(f"{file.name} does not load: {error}")
    return len(files)


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


def fail(reason: str) -> NoReturn:
    """End with the reason."""
    print(f"check-gpu-install: {reason}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
