"""What computes: the runtimes, one real forward pass, and FAISS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
from PIL import Image

from models.bundle import Bundle, BundleError
from models.detection.bundle import DetectorBundle
from models.detection.loading import DetectorError, load_detector
from models.packages import VIDEO
from service.diagnosis.finding import Finding, absent, failed, ok, wrong
from service.inference.loading import load_models
from service.settings import Settings

WITHOUT = (
    "nothing, if it is fast enough: the runtime serves without; LKA_REID_CUDA_GRAPHS=false and "
    "LKA_REID_GPU_STREAMS=1 keep it from trying"
)
"""What to do about what a runtime leaves out on its GPU."""


def providers() -> Finding:
    """ONNX Runtime and what it was built with."""
    import onnxruntime

    offered = ", ".join(onnxruntime.get_available_providers())
    return ok("ONNX Runtime", f"{onnxruntime.__version__}, built with {offered}")


def runtimes(settings: Settings) -> Iterator[Finding]:
    """Each runtime: whether a session on a small graph opens and gives the right numbers."""
    from models.runtimes.choice import trials

    for name, trial in trials(settings.device_id).items():
        what, lack = f"runtime {name}", trial()
        if lack is None:
            yield ok(what, "starts")
        else:
            yield absent(what, lack.what, lack.remedy, needed=settings.runtime == name)


def forward(settings: Settings) -> Iterator[Finding]:
    """The bundle's embedder in the runtime that is set, on one blank image; what is left out on its GPU."""
    what = f"forward pass ({settings.runtime})"
    try:
        models = load_models(settings, Bundle.load(settings.bundle))
        spec = models.bundle.manifest.input
        blank = np.zeros((1, 3, spec.height, spec.width), np.uint8)
        models.embedder.embed(blank)
        started = time.perf_counter()
        found = models.embedder.embed(blank)
        milliseconds = 1000 * (time.perf_counter() - started)
    except Exception as error:  # whatever a runtime raises is what is to be reported
        yield failed(what, error)
        return
    if not np.isfinite(found.descriptors).all():
        yield wrong(
            what, f"{models.runtime} gives numbers that are not finite", "set another LKA_REID_RUNTIME"
        )
        return
    nodes = getattr(models, "nodes", {})
    streams = f", {models.streams} streams" if models.streams > 1 else ""
    where = ", ".join(f"{count} nodes on {place}" for place, count in nodes.items())
    yield ok(
        what,
        f"{models.runtime}{streams}, {milliseconds:.0f} ms for one image" + (f"; {where}" if where else ""),
    )
    for part, why in models.gpu_left_out.items():
        yield absent(part, why, WITHOUT, needed=False)


def search(settings: Settings) -> Finding:
    """FAISS, and whether the vector index can be on the GPU where it may be."""
    # Not above: where FAISS cannot be imported, this line says so, and the others what they find.
    from index.vectors.device import REMEDY, start
    from index.vectors.faisslib import faiss

    is_for_gpus = hasattr(faiss, "StandardGpuResources")
    found = f"{faiss.__version__} for {'GPUs' if is_for_gpus else 'CPUs'}"
    needed = settings.index_device == "gpu"
    if settings.index_device == "cpu" or not (is_for_gpus or needed):
        return ok("FAISS", f"{found}, searches on the CPU")
    lack = start("auto", settings.device_id).left_out
    if lack is None:
        return ok("FAISS", f"{found}, searches on GPU {settings.device_id}")
    return absent("FAISS", f"{found}, the vector index is on the CPU: {lack}", REMEDY, needed=needed)


def detector(settings: Settings) -> Finding:
    """The detector of vehicles in frames, its file against its hash, and one look at an empty frame."""
    what = "detector"
    if settings.detector == "off":
        return absent(what, "is switched off", needed=False)
    try:
        found = DetectorBundle.load(settings.detector)
        loaded = load_detector(found.described(), settings.threads)
        loaded.detect(Image.new("RGB", (640, 360)))
        started = time.perf_counter()
        loaded.detect(Image.new("RGB", (640, 360)))
    except (BundleError, DetectorError, ImportError, OSError) as error:
        return failed(what, error, remedy="set LKA_REID_DETECTOR, or restore its folder")
    milliseconds = 1000 * (time.perf_counter() - started)
    return ok(what, f"{found.manifest.name}, {milliseconds:.0f} ms for one frame")


def videos() -> Finding:
    """What `lka-reid enroll --detect` needs for videos."""
    what, remedy = "videos", VIDEO
    try:
        import av
        import cv2
    except (ImportError, OSError) as error:
        if "libGL" in str(error):
            remedy = "pip install opencv-python-headless in the place of opencv-python"
        return absent(what, f"cannot be read: {error}", remedy, needed=False)
    if find_spec("trackers") is None:
        return absent(what, "cannot be followed: trackers is not installed", remedy, needed=False)
    return ok(what, f"PyAV {av.__version__}, OpenCV {cv2.__version__}")


def bundle(settings: Settings) -> Finding:
    """The model bundle, every file against its hash."""
    try:
        found = Bundle.load(settings.bundle)
    except BundleError as error:
        reason, _, remedy = str(error).partition("; ")
        return wrong("bundle", reason, remedy)
    reranker = "two stages" if found.manifest.reranker else "first stage alone"
    spec = found.manifest.input
    size = f"{spec.width} x {spec.height} px"
    return ok("bundle", f"{found.manifest.name}, {found.fingerprint[:12]}, {size}, {reranker}")
